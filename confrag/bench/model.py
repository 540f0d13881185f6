"""Bench `model`: a checkpoint as it is and in AWQ behind vLLM, and a small one behind llama.cpp.

A case is a configuration, named by its preset; its answering model is measured. Each server is started anew for each
repetition, in a process of its own, and asked with the interface of OpenAI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confrag.bench.processes import call
from confrag.bench.report import Measurements, Report, Row
from confrag.bench.request import Request
from confrag.build.progress import ProgressFn
from confrag.errors import UserError
from confrag.evaluate.machine import machine, versions
from confrag.plan.model import ModelPlan

__all__ = ["ratios", "run"]

CASES = ("vllm", "vllm_awq", "quickstart")
AT_ONCE = (1, 8)
TOKENS = 64
"""Of each answer."""
ROUNDS = 3
"""Requests one after the other, and rounds of requests at once, of each start."""
NOTES = (
    f"Each answer has {TOKENS} tokens, which the server is told to write whatever comes; the questions differ, so "
    "that no prompt is found in a cache. `tokens/s` counts the tokens of all answers from the first request to the "
    "last token.",
    "`load` ends when the server is ready. `memory` is the resident memory of the server's processes, summed, after "
    "the last answer; of llama.cpp, which runs in the process that asks, what that has grown by.",
)


def run(request: Request, progress: ProgressFn) -> Report:
    """Measure.

    Raises:
        UserError: a configuration that does not exist, or whose answering model is not run on this machine.
        ConfragError: a server did not start, or a request failed.
    """
    if request.chooses("conf"):
        raise UserError(f"conf: bench model compares configurations; name them as words: {' '.join(CASES)}")
    words = tuple(dict.fromkeys(request.words)) or CASES
    models = {word: _model(request, word) for word in words}
    repeats = request.config(f"conf={words[0]}").bench.repeats
    taken = Measurements()
    total = repeats * len(words)
    vllm: str | None = None
    progress("servers", 0, total)
    for round_ in range(repeats):
        for number, word in enumerate(words):
            vllm = _measure(request, word, taken) or vllm
            progress("servers", round_ * len(words) + number + 1, total)
    rows = taken.rows()
    return Report(
        bench="model",
        rows=tuple(rows),
        ratios=ratios(rows, models),
        machine=machine(load=True),
        versions={**versions(("confrag", "lazyllm", "xllamacpp")), **({"vllm": vllm} if vllm else {})},
        charted=tuple(f"tokens/s, {count} at once" for count in AT_ONCE),
        notes=NOTES,
    )


def ratios(rows: Sequence[Row], models: Mapping[str, ModelPlan]) -> dict[str, float]:
    """AWQ over the original, where both were measured; see docs/benchmarks.md."""
    by_vllm = {case: str(model.params["quantization"]) for case, model in models.items() if model.kind == "vllm"}
    original = next((case for case, kind in by_vllm.items() if kind == "none"), None)
    awq = next((case for case, kind in by_vllm.items() if kind.startswith("awq")), None)
    if original is None or awq is None:
        return {}
    value = {(row.case, row.measure): row.value for row in rows}
    found = {"awq_over_original_load": value[awq, "load"] / value[original, "load"]}
    for count in AT_ONCE:
        measure = f"tokens/s, {count} at once"
        found[f"awq_over_original_tokens_per_s_{count}"] = value[awq, measure] / value[original, measure]
    return found


def _model(request: Request, word: str) -> ModelPlan:
    """The answering model of a configuration. Raises UserError when it cannot be measured."""
    plan = request.plan(f"conf={word}")
    model = plan.model(plan.answer.model)
    if model.kind not in ("vllm", "local"):
        raise UserError(
            f"bench model: conf={word} answers by a model of kind '{model.kind}'; vllm and local are measured"
        )
    return model


def _measure(request: Request, word: str, taken: Measurements) -> str | None:
    """Note the figures of one server; returns the version of vLLM, where it is one."""
    job = {
        "overrides": [*request.overrides, f"conf={word}"],
        "config_dir": request.config_dir,
        "tokens": TOKENS,
        "rounds": ROUNDS,
        "at_once": AT_ONCE,
    }
    found = call("confrag.bench.model_child:measure", job, f"bench model: {word}")
    taken.add(word, "load", "s", found["load_s"])
    for count, first_token_ms, per_second in found["rounds"]:
        taken.add(word, f"first token, {count} at once", "ms", first_token_ms)
        taken.add(word, f"tokens/s, {count} at once", "tokens/s", per_second)
    taken.add(word, "memory", "MB", found["memory_mb"])
    version: str | None = found["version"]
    return version
