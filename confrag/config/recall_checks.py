"""What is wrong with a recall: names that nobody has, steps that do not fit behind each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confrag.config.raw import Raw, table, unknown
from confrag.errors import Problem
from confrag.schema.steps import STEPS, StepSpec

__all__ = ["flows", "recall"]


def recall(raw: Raw) -> Iterator[Problem]:
    """Each step names a retriever, model or branch that exists, and each retriever is used by a step."""
    known = list(table(raw, "retrievers"))
    used = set()
    retrieves = False
    for path, step in steps("recall", raw.get("recall")):
        kind = step.get("kind")
        retrieves = retrieves or _flow_of(step) == ("question", "nodes")
        if kind == "retrieve" and isinstance(name := step.get("retriever"), str):
            used.add(name)
            if name not in known:
                yield unknown(f"{path}.retriever", name, "retriever", known)
        elif kind == "parallel":
            yield from _merge(path, step)
        if (spec := _spec(step)) and spec.uses:
            yield from _model(raw, path, step, spec.model_fields["model"].default, spec.uses)
    if isinstance(raw.get("recall"), Mapping) and not retrieves:
        yield Problem("recall", "no step retrieves anything")
    for name in known:
        if name not in used:
            yield Problem(f"retrievers.{name}", "no step of `recall` uses this retriever; remove it, or add a step")


def _model(raw: Raw, path: str, step: Raw, default: object, role: str) -> Iterator[Problem]:
    models = table(raw, "models")
    name = step.get("model", default)
    if not isinstance(name, str):
        return
    fitting = [key for key, model in models.items() if model.get("role") == role]
    if name not in fitting:
        yield unknown(f"{path}.model", name, f"model with the role '{role}'", fitting)
    elif step.get("kind") == "rewrite":
        if models[name].get("kind") == "extractive":
            yield Problem(f"{path}.model", "an extractive model only quotes; rewriting needs one that writes", name)
        texts = raw.get("prompts")
        if isinstance(texts, Mapping) and texts.get("rewrite") is None:
            yield Problem("prompts.rewrite", f"is missing, and {path} rewrites with it")


def _merge(path: str, step: Raw) -> Iterator[Problem]:
    merge, branches = step.get("merge"), list(table(step, "branches"))
    for key in ("weights", "priorities"):
        given = merge.get(key) if isinstance(merge, Mapping) else None
        for name in given if isinstance(given, Mapping) else ():
            if name not in branches:
                yield unknown(f"{path}.merge.{key}", str(name), "branch", branches)


def steps(path: str, step: object) -> Iterator[tuple[str, Raw]]:
    """Every step with its path."""
    if isinstance(step, Mapping):
        yield path, step
        for below, child in _below(path, step):
            yield from steps(below, child)


def _below(path: str, step: Raw) -> Iterator[tuple[str, Raw]]:
    for key in ("branches", "steps"):
        for name, child in table(step, key).items():
            yield f"{path}.{key}.{name}", child
    for key in ("then", "else"):
        way = step.get(key)
        if isinstance(way, Mapping):
            yield f"{path}.{key}", way


def flows(raw: Raw) -> Iterator[Problem]:
    """Questions are rewritten, then nodes are retrieved, then worked on; ways that meet again bring the same."""
    if isinstance(step := raw.get("recall"), Mapping):
        problems: list[Problem] = []
        _flow("recall", step, "question", problems)
        yield from problems


def _flow_of(step: Raw) -> tuple[str, str] | None:
    """What a step takes and gives; None for a kind that does not exist."""
    spec = _spec(step)
    return (spec.takes, spec.gives) if spec else None


def _spec(step: Raw) -> type[StepSpec] | None:
    kind = step.get("kind")
    spec = STEPS[kind].spec if isinstance(kind, str) and kind in STEPS else None
    return spec if spec and issubclass(spec, StepSpec) else None


def _flow(path: str, step: Raw, given: str, problems: list[Problem]) -> str:
    """What comes out of a step when `given` goes in; adds what does not fit."""
    declared = _flow_of(step)
    kind = step.get("kind")
    if declared is None:
        return "nodes"
    if kind == "pipeline":
        for name, child in table(step, "steps").items():
            given = _flow(f"{path}.steps.{name}", child, given, problems)
        return given
    if kind == "ifs":
        ways = {
            key: _flow(f"{path}.{key}", way, given, problems)
            for key in ("then", "else")
            if isinstance(way := step.get(key), Mapping)
        }
        if len(set(ways.values())) > 1:
            problems.append(
                Problem(
                    path,
                    f"`then` gives {_called(ways['then'])}, `else` {_called(ways['else'])}; they must give the same",
                )
            )
        return ways.get("then", "nodes")
    takes, gives = declared
    if takes == "nodes" and given == "question":
        problems.append(
            Problem(path, "nothing has been retrieved before this step; put it behind a step that retrieves")
        )
    elif takes == "question" and given == "nodes":
        behind = (
            "a step that retrieves comes first in its pipeline; put several into a `parallel`"
            if gives == "nodes"
            else "a question is rewritten before anything is retrieved; put this step first"
        )
        problems.append(Problem(path, behind))
        return "nodes"
    if kind == "parallel":
        for name, child in table(step, "branches").items():
            if _flow(f"{path}.branches.{name}", child, "question", problems) == "question":
                problems.append(
                    Problem(f"{path}.branches.{name}", "this branch retrieves nothing; each must give nodes")
                )
    return gives


def _called(flow: str) -> str:
    return "a question" if flow == "question" else "nodes"
