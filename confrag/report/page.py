"""The report as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from confrag.report import charts, figures
from confrag.report.model import Results
from confrag.report.payload import embedded, payload
from confrag.report.sentences import metric_label, metric_meaning

__all__ = ["html"]

STYLES = ("base.css", "tables.css", "charts.css", "queries.css")
SCRIPTS = ("dom.js", "data.js", "answer.js", "queries.js")
_COLUMNS = 4


def html(data: Mapping[str, Any], results: Results) -> str:
    """One self-contained HTML document.

    Style and script are named by their hashes in the page's Content-Security-Policy: nothing else runs, whatever
    documents and answers hold, and nothing is fetched.

    Args:
        data: what `build` returns.
        results: what it was built from.
    """
    style = "\n".join(map(_asset, STYLES))
    script = '"use strict";\n(() => {\n' + "\n".join(map(_asset, SCRIPTS)) + "\n})();\n"
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        label=metric_label, meaning=metric_meaning, **{name: getattr(figures, name) for name in figures.__all__}
    )
    return environment.get_template("report.html").render(
        data=data,
        others=[name for name in data["metrics"] if name != data["metric"]][:_COLUMNS],
        priced=any(job["cost_per_1000"] is not None for job in data["jobs"]),
        counted=any(job["tokens_per_query"] for job in data["jobs"]),
        cached=any(job["cache_hit_rate"] is not None for job in data["jobs"]),
        references=_references(data),
        interval_axis=charts.interval_axis(data["jobs"], data["metric"]),
        effect_axis=charts.effect_axis(data["effects"]),
        chart=charts.pareto_chart(data),
        provenance=_provenance(data),
        stages=list(dict.fromkeys(stage for job in data["jobs"] for stage in job["latency_ms"])),
        judge=next((job["judge"] for job in data["jobs"] if job["judge"]), None),
        policy=policy,
        # Not escaped: our own files, and JSON without a "<".
        style=Markup(style),
        script=Markup(script),
        embedded=Markup(embedded(payload(data, results))),
    )


def _references(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs that the others are compared with, and the axis of each comparison."""
    keys = [("against_best", data["best"], "the best")]
    if data["baseline"] not in (None, data["best"]):
        keys.append(("against_baseline", data["baseline"], "the baseline"))
    return [
        {"key": key, "name": name, "role": role, "axis": charts.difference_axis(data["jobs"], key)}
        for key, name, role in keys
        if any(job[key] for job in data["jobs"])
    ]


def _provenance(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the first job that says so was run with; a list of the jobs that ran with something else."""
    known = [(job["name"], job["provenance"]) for job in data["jobs"] if job["provenance"]]
    if not known:
        return {"first": {}, "others": [], "machine": ""}
    first = known[0][1]
    compared = ("confrag", "python", "packages", "machine", "seed")
    others = [name for name, one in known[1:] if any(one.get(key) != first.get(key) for key in compared)]
    return {"first": first, "others": others, "machine": _machine(first.get("machine") or {})}


def _machine(machine: Mapping[str, Any]) -> str:
    units = {"cores": "{} cores", "memory_gb": "{} GB"}
    return ", ".join(units.get(name, "{}").format(value) for name, value in machine.items())


def _asset(name: str) -> str:
    return files("confrag.report.web").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
