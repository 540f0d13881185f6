"""Results for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from confrag.cli.output import say

if TYPE_CHECKING:
    from confrag.runtime.app import App
    from confrag.runtime.outlook import Outlook
    from confrag.runtime.results import Answer, CorpusReport, Hit
    from confrag.runtime.work import Work

__all__ = ["announce", "announce_work", "show_answer", "show_jobs", "show_outlook"]

_SNIPPET = 160
_LISTED = 5
_UNFINISHED = "an ingest was cut short"


def announce_work(app: App, work: Work) -> None:
    """One line on what is going to be done, when there is something; `confrag plan` says more."""
    if not work.nothing:
        say(f"{app.compiled.name}: {_summary(work)}")


def announce(app: App, corpus: CorpusReport) -> None:
    """One line on the corpus, and one for each file that could not be read."""
    nodes = ", ".join(f"{count:,} {group}" for group, count in corpus.nodes.items())
    held = corpus.added + corpus.changed + corpus.unchanged
    idle = not (corpus.added or corpus.changed or corpus.removed or corpus.embedded or corpus.embedding_cache_hits)
    embedded = f"{corpus.embedded:,} texts embedded, {corpus.embedding_cache_hits:,} from the cache"
    if corpus.asked or corpus.reply_cache_hits:
        embedded = f"model calls: {corpus.asked:,}, replies from the cache: {corpus.reply_cache_hits:,}; {embedded}"
    done = "up to date" if idle else embedded
    say(f"{app.compiled.name}: {_files(held)}, {nodes}; {done}, in {app.timings_s['ingest']:.1f} s")
    for failed in corpus.failed:
        say(f"  not read: {failed.file}: {failed.reason}")


def _summary(work: Work) -> str:
    """What is to do, in a line."""
    rebuilt = [
        f"{reason}: {'build' if work.fresh else 'rebuild'} `{entry.recipe.group}`"
        for entry in work.groups
        for reason in entry.reasons[:1]
        if not entry.recipe.group.startswith("lazyllm_")
    ]
    counts = [f"{len(getattr(work, kind)):,} {kind}" for kind in ("added", "changed", "removed") if getattr(work, kind)]
    files = f"files: {', '.join(counts)}" if counts else ""
    cut = _UNFINISHED if work.unfinished else ""
    return "; ".join(
        filter(None, [work.fresh, cut, files, *rebuilt, *(f"`{group}` is dropped" for group in work.dropped)])
    )


def show_outlook(name: str, outlook: Outlook, out: TextIO) -> None:
    """What an ingest would do."""
    unchanged = f"{_files(len(outlook.unchanged))} unchanged"
    if outlook.up_to_date:
        out.write(f"{name}: up to date; {unchanged}\n")
    else:
        what = outlook.fresh or (_UNFINISHED if outlook.unfinished else "there is something to do")
        out.write(f"{name}: {what}\n")
        for kind in ("added", "changed", "removed"):
            names = getattr(outlook, kind)
            more = f", and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
            if names:
                out.write(f"  {kind}: {_files(len(names))}: {', '.join(names[:_LISTED])}{more}\n")
        if outlook.unchanged:
            out.write(f"  {unchanged}\n")
    for group in outlook.groups:
        verb = "build" if outlook.fresh else "rebuild"
        what = f"{'; '.join(group.reasons)}: {verb} `{group.group}`" if group.reasons else f"`{group.group}`"
        more = " so far" if group.asking and group.asking.calls else ""
        parts = [f"{what} ({group.nodes:,} nodes{more})"]
        if ask := group.asking:
            cost = f" (about {ask.prompt_tokens:,} prompt tokens, at most {ask.completion_tokens:,} completion tokens)"
            calls = f"model calls: {ask.calls:,}{cost if ask.calls else ''}"
            parts.append(f"replies in the cache: {ask.cached:,}, {calls}")
        if group.embed or group.cached:
            parts.append(f"embedding cache covers {group.cached:,}, {group.embed:,} texts to embed")
        if group.indices:
            parts.append(f"index {', '.join(group.indices)}")
        out.write(f"  {'; '.join(parts)}\n")
    if outlook.indices:
        out.write(f"  nothing usable is kept of the index {', '.join(outlook.indices)}: build\n")
    for group_name in outlook.dropped:
        out.write(f"  `{group_name}` is not used any more: dropped\n")
    for file, reason in outlook.failed.items():
        out.write(f"  not read: {file}: {reason}\n")


def _files(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def show_answer(answer: Answer, out: TextIO, *, told: bool) -> None:
    """The answer and its sources.

    Args:
        answer: what to show.
        out: where to.
        told: the text has been shown already, piece by piece.
    """
    if not told:
        out.write(f"{answer.text}\n")
    for branch, reason in answer.missing.items():
        out.write(f"\nPartial: without the branch '{branch}' ({reason})\n")
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
