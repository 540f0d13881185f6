"""Ask the choir's papers: python ask.py "What do new singers pay?" """

from __future__ import annotations

import sys
from pathlib import Path

import faq

import confrag

HERE = Path(__file__).parent


def main(question: str) -> None:
    """Answer from whole entries of the FAQ."""
    faq.register()
    overrides = ["node_groups=entries", f"corpus.path={HERE / 'docs'}"]
    with confrag.load("choir", overrides, config_dir=HERE / "settings") as app:
        answer = app.ask(question)
        print(answer.text)
        for number, source in enumerate(answer.sources, start=1):
            print(f"[{number}] {source.file}: {source.metadata.get('question', 'the whole document')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
