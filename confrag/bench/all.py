"""Bench `all`: every bench one after the other, on one page next to the figures of the seed tutorial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from confrag.bench.cache import CASES as CACHES
from confrag.bench.report import Report, shown, table
from confrag.bench.request import Request
from confrag.build.progress import ProgressFn
from confrag.errors import ConfragError, UserError, nearest
from confrag.evaluate.machine import machine

__all__ = ["FIGURES", "Figure", "Page", "grow", "run"]

PARTS = ("startup", "index", "parallel", "cache", "model")


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio of a bench, and what the tutorial says of it.

    Attributes:
        name: for people.
        bench: whose `ratios` it is among.
        ratio: its name there.
        tutorial: the tutorial's own, on the tutorial's machine; None where no figure of it is known.
        lazyllm: the ratio by LazyLLM alone in the same run, where the bench takes one.
    """

    name: str
    bench: str
    ratio: str
    tutorial: float | None = None
    lazyllm: str | None = None


FIGURES = (
    # 15.30 s and 1.80 s.
    Figure("Milvus: second start / first", "startup", "second_over_first_milvus", 1.80 / 15.30, "lazyllm_{}"),
    Figure("Chroma: second start / first", "startup", "second_over_first_chroma", 0.79, "lazyllm_{}"),
    Figure("map: second start / first", "startup", "second_over_first_map", 0.98, "lazyllm_{}"),
    Figure("linear / trie, the last word", "index", "linear_over_trie_last_word", 796.0),
    Figure("default / HNSW, 10,000 vectors", "index", "default_over_hnsw_10000"),
    Figure("HNSW: recall@10", "index", "hnsw_recall_at_10"),
    Figure("one after the other / at once, 2 routes", "parallel", "sequential_over_parallel_2"),
    Figure("one after the other / at once, 16 routes", "parallel", "sequential_over_parallel_16"),
    Figure("no cache / a hit in memory", "cache", "uncached_over_hit_memory"),
    Figure("no cache / a hit on disk", "cache", "uncached_over_hit_disk"),
    Figure("no cache / a hit on Redis", "cache", "uncached_over_hit_redis"),
    Figure("AWQ / original: loading", "model", "awq_over_original_load"),
    Figure("AWQ / original: tokens/s", "model", "awq_over_original_tokens_per_s_1"),
    Figure("AWQ / original: tokens/s, 8 at once", "model", "awq_over_original_tokens_per_s_8"),
)


@dataclass(frozen=True)
class Page:
    """The reports of several benches.

    Attributes:
        parts: one for each bench that was run.
        not_run: bench, or what of it -> why it was not.
        machine: where they ran.
    """

    parts: tuple[Report, ...]
    not_run: Mapping[str, str]
    machine: Mapping[str, str | float]
    bench: str = "all"

    def compared(self) -> list[dict[str, Any]]:
        """For each of `FIGURES`: the tutorial's, LazyLLM's and confrag's, and confrag's over the tutorial's."""
        ratios = {part.bench: part.ratios for part in self.parts}
        rows = []
        for figure in FIGURES:
            found = ratios.get(figure.bench, {})
            here = found.get(figure.ratio)
            rows.append(
                {
                    "figure": figure.name,
                    "bench": figure.bench,
                    "ratio": figure.ratio,
                    "tutorial": figure.tutorial,
                    "lazyllm": found.get(figure.lazyllm.format(figure.ratio)) if figure.lazyllm else None,
                    "confrag": here,
                    "confrag_over_tutorial": here / figure.tutorial if here and figure.tutorial else None,
                }
            )
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The document that ``output=json`` prints."""
        return {
            "bench": self.bench,
            "compared": self.compared(),
            "benches": [part.as_dict() for part in self.parts],
            "not_run": dict(self.not_run),
            "machine": dict(self.machine),
        }

    def markdown(self) -> str:
        """The comparison, what was not run, and the report of each bench."""
        head = ["", "tutorial", "LazyLLM, here", "confrag, here", "confrag / tutorial"]
        values = ("tutorial", "lazyllm", "confrag", "confrag_over_tutorial")
        rows = [
            [row["figure"], *("" if row[key] is None else shown(row[key]) for key in values)] for row in self.compared()
        ]
        lines = ["# confrag bench all", "", *table(head, rows), ""]
        lines += ["Ratios compare across machines, times do not. An empty place: the tutorial gives no figure that is"]
        lines += ["known here, or it was not measured.", ""]
        lines += [f"Not run: {name}: {reason}\n" for name, reason in self.not_run.items()]
        for part in self.parts:
            lines += [f"![{part.bench}]({part.bench}.png)", "", part.markdown().replace("# ", "## ", 1)]
        return "\n".join(lines)


def run(request: Request, progress: ProgressFn) -> Page:
    """The last page of `grow`, whose arguments and errors these are."""
    *_, page = grow(request, progress)
    return page


def grow(request: Request, progress: ProgressFn) -> Iterator[Page]:
    """Measure; each figure once unless ``bench.repeats`` says more. The page after each bench.

    Raises:
        UserError: a word that is no bench.
        ConfragError: no bench could be run; the last reason.
    """
    for word in request.words:
        if word not in PARTS:
            hint = f". Did you mean '{near}'?" if (near := nearest(word, PARTS)) else ""
            raise UserError(f"bench all knows no bench '{word}'; known: {', '.join(PARTS)}{hint}")
    more = () if request.chooses("bench.repeats") else ("bench.repeats=1",)
    names = [part for part in PARTS if part in request.words or not request.words]
    parts: list[Report] = []
    not_run: dict[str, str] = {}
    failure: ConfragError | None = None
    for number, name in enumerate(names, start=1):
        words, left_out = _cases(name, request)
        not_run |= left_out
        # What a cache saves is shown by a retrieval that takes its time.
        preset = ("conf=multi_route",) if name == "cache" and not request.chooses("conf") else ()
        asked = dataclasses.replace(request, words=words, overrides=(*preset, *request.overrides, *more))
        try:
            parts.append(import_module(f"confrag.bench.{name}").run(asked, progress))
        except ConfragError as error:
            not_run[name], failure = str(error), error
        if parts:
            later = {left: f"not reached; 'confrag bench all {left}' measures it" for left in names[number:]}
            yield Page(tuple(parts), not_run | later, machine(load=True))
    if failure and not parts:
        raise failure


def _cases(name: str, request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which cases of a bench can be run here, and why others cannot."""
    if name == "cache":
        # The stream of questions has a table of its own: confrag bench cache.
        return tuple(CACHES), {}
    if name != "model" or request.chooses("models.llm.python") or find_spec("vllm"):
        return (), {}
    return ("quickstart",), {"model: vllm, vllm_awq": "vLLM is not installed; pip install 'confrag[vllm]'"}
