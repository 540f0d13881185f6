"""A help desk on top of confrag: drafts replies to tickets, answers at the counter.

python helpdesk.py tickets.jsonl     a draft for each ticket, as JSON lines
python helpdesk.py                   questions from standard input, answered while they are read
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import confrag

SETTINGS = [
    "corpus.path=pkg://confrag.sample",  # the handbook of a ferry company, which comes with confrag
    "llm=extractive",  # a reply quotes the handbook, so there is nothing in it that the handbook does not say
    "models.llm.passages=2",
    "retrievers.chunk.similarity_cut_off=0.58",  # below it, a passage has nothing to do with the question
]


async def draft(app: confrag.App, ticket: dict[str, Any]) -> dict[str, Any]:
    """A reply with its sources, or a ticket that a person has to look at."""
    answer = await app.aask(ticket["question"])
    if not answer.sources:
        return {"id": ticket["id"], "status": "for a person", "reply": None, "files": []}
    files = list(dict.fromkeys(source.file for source in answer.sources))
    return {"id": ticket["id"], "status": "drafted", "reply": answer.text, "files": files}


async def work_off(app: confrag.App, tickets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All drafts, in the order of the tickets; they are worked on at the same time."""
    return await asyncio.gather(*(draft(app, ticket) for ticket in tickets))


def counter(app: confrag.App, questions: TextIO, out: TextIO) -> None:
    """Answer line by line, piece by piece, and say where to read on."""
    for question in filter(None, map(str.strip, questions)):
        for piece in app.stream(question):
            out.write(piece)
            out.flush()
        places = dict.fromkeys(hit.file for hit in app.retrieve(question))
        out.write(f"\nRead on in: {', '.join(places) or 'nothing'}\n\n")


def main(arguments: list[str]) -> None:
    """Load the engine once, for everything that is asked."""
    with confrag.load("quickstart", overrides=SETTINGS) as app:
        if arguments:
            lines = Path(arguments[0]).read_text("utf-8").splitlines()
            for reply in asyncio.run(work_off(app, [json.loads(line) for line in lines])):
                print(json.dumps(reply, ensure_ascii=False))
        else:
            counter(app, sys.stdin, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
