"""Recall step `parallel`: several branches at once, merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.steps.branch import Absent, Branch
from confrag.build.steps.parts import Children, Parts
from confrag.build.trace import Trace, current, limit
from confrag.registry import builder

__all__ = ["build", "fan_out"]


def build(
    parts: Parts,
    children: Children,
    *,
    merge: Mapping[str, Any],
    topk: int | None,
    deadline_s: float | None,
    on_error: str,
) -> Any:
    """LazyLLM's `parallel` with the merge rule behind it; all branches run at once."""
    ignored = {name for name, priority in merge.get("priorities", {}).items() if priority == "ignore"}
    branches = {
        name: Branch(name, child.built, deadline_s, partial=on_error == "partial")
        for name, child in children.items()
        if name not in ignored
    }
    rule = {key: value for key, value in merge.items() if key != "kind"}
    return lazyllm.pipeline(fan_out(list(branches.values())), _merge(list(branches), merge["kind"], rule, topk))


def fan_out(branches: list[Any], *, concurrent: bool = True) -> Any:
    """All branches at once, or one after the other."""
    # LazyLLM runs five branches at a time unless told how many there are.
    return lazyllm.parallel(*branches, _concurrent=len(branches) if concurrent else False)


def _merge(names: list[str], kind: str, rule: Mapping[str, Any], topk: int | None) -> Callable[..., list[DocNode]]:
    fuse = builder("merges", kind)

    def merged(*results: list[DocNode] | Absent) -> list[DocNode]:
        """The nodes of the branches that gave some."""
        missing = [result for result in results if isinstance(result, Absent)]
        trace = current() or Trace()
        if missing and len(missing) == len(results):
            trace.fail(missing[0].error)
            raise missing[0].error
        trace.missing += [(branch.name, branch.reason) for branch in missing]
        present = {name: got for name, got in zip(names, results, strict=True) if not isinstance(got, Absent)}
        nodes: list[DocNode] = fuse(present, topk=limit(topk), **rule)
        return nodes

    return merged
