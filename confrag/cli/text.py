"""Results for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from confrag.cli.output import say

if TYPE_CHECKING:
    from confrag.runtime.app import App
    from confrag.runtime.results import Answer, Hit

__all__ = ["announce", "show_answer", "show_jobs"]

_SNIPPET = 160


def announce(app: App) -> None:
    """One line on the corpus, and one for each file that could not be read."""
    corpus = app.corpus
    nodes = ", ".join(f"{count:,} {group}" for group, count in corpus.nodes.items())
    say(
        f"{app.plan.name}: {corpus.added} of {corpus.files} files, {nodes}; {corpus.embedded:,} texts embedded, "
        f"{corpus.embedding_cache_hits:,} from the cache, in {app.timings_s['ingest']:.1f} s"
    )
    for failed in corpus.failed:
        say(f"  not read: {failed.file}: {failed.reason}")


def show_answer(answer: Answer, out: TextIO, *, told: bool) -> None:
    """The answer and its sources.

    Args:
        answer: what to show.
        out: where to.
        told: the text has been shown already, piece by piece.
    """
    if not told:
        out.write(f"{answer.text}\n")
    if answer.sources:
        out.write("\nSources\n")
        for number, source in enumerate(answer.sources, start=1):
            out.write(f"  [{number}] {_place(source)}  ({_scores(source)})\n      {_snippet(source.text)}\n")
    out.write("\n")
    out.flush()


def _place(source: Hit) -> str:
    for key in ("page", "slide", "sheet", "chapter", "record"):
        if key in source.metadata:
            return f"{source.file}, {key} {source.metadata[key]}"
    return source.file


def _scores(source: Hit) -> str:
    shown = [] if source.score is None else [f"{source.score:.3f}"]
    if source.rerank_score is not None:
        shown.append(f"reranked {source.rerank_score:.2f}")
    return f"{source.route} {', '.join(shown)}".strip()


def _snippet(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SNIPPET else flat[:_SNIPPET] + "…"


def show_jobs(jobs: Sequence[dict[str, Any]], out: TextIO) -> None:
    """One table of the jobs of a sweep."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(jobs)} jobs")
    for name in ("job", "overrides", "files", "nodes", "ingest s", "retrieve ms", "total ms", "first source", "answer"):
        table.add_column(
            name, justify="right" if name.endswith((" s", " ms")) or name in ("files", "nodes") else "left"
        )
    for number, job in enumerate(jobs):
        table.add_row(str(number), ", ".join(job["overrides"]), *_cells(job))
    # Wide enough for a file or pipe, where nothing has to fit a screen.
    Console(file=out, width=None if out.isatty() else 160).print(table)


def _cells(job: dict[str, Any]) -> list[str]:
    result = job["result"]
    if result is None:
        return ["", "", "", "", "", "", f"failed: {_snippet(job['error'])}"]
    answers = result["answers"]
    count = max(len(answers), 1)
    means = [sum(answer["timings_ms"][stage] for answer in answers) / count for stage in ("retrieve", "total")]
    first = answers[0] if answers else None
    source = first["sources"][0]["file"] if first and first["sources"] else ""
    return [
        str(result["corpus"]["files"]),
        str(sum(result["corpus"]["nodes"].values())),
        f"{result['timings_s']['ingest']:.2f}",
        f"{means[0]:.1f}" if answers else "",
        f"{means[1]:.0f}" if answers else "",
        source,
        _snippet(first["answer"])[:60] if first else "",
    ]
