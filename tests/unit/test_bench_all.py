"""Bench `all`: the comparison with the tutorial, what is left out, and one real bench through the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from confrag.bench import BENCHES, cache, index, model, parallel
from confrag.bench import all as everything
from confrag.bench.report import Report, Row
from confrag.bench.request import Request
from confrag.build.progress import silent
from confrag.cli import main
from confrag.errors import ServiceError, UserError


def report(bench: str, ratios: dict[str, float]) -> Report:
    row = Row("case", "measure", 1.0, "s")
    return Report(bench, (row,), ratios, {"cores": 2}, {"python": "3.11"}, charted=("measure",))


PAGE = everything.Page(
    (
        report("startup", {"second_over_first_milvus": 0.0171, "lazyllm_second_over_first_milvus": 0.39}),
        report("index", {"linear_over_trie_last_word": 8000.0, "default_over_hnsw_10000": 1780.0}),
    ),
    {"model": "no GPU"},
    {"cores": 2},
)


def test_it_stands_next_to_the_tutorial() -> None:
    rows = {row["ratio"]: row for row in PAGE.as_dict()["compared"]}
    milvus = rows["second_over_first_milvus"]
    assert milvus["tutorial"] == pytest.approx(0.1176, abs=1e-4)
    assert (milvus["lazyllm"], milvus["confrag"]) == (0.39, 0.0171)
    assert milvus["confrag_over_tutorial"] == pytest.approx(0.1453, abs=1e-4)
    assert rows["linear_over_trie_last_word"]["confrag_over_tutorial"] == pytest.approx(10.05, abs=0.01)
    # The tutorial's figure is not known, or nothing was measured.
    assert rows["default_over_hnsw_10000"]["tutorial"] is None
    assert rows["default_over_hnsw_10000"]["confrag_over_tutorial"] is None
    assert rows["awq_over_original_load"]["confrag"] is None


def test_the_page_has_a_table_what_is_missing_and_each_bench() -> None:
    page = PAGE.markdown()
    assert "| Milvus: second start / first | 0.118 | 0.390 | 0.017 | 0.145 |\n" in page
    assert "| default / HNSW, 10,000 vectors |  |  | 1,780 |  |\n" in page
    assert "\nNot run: model: no GPU\n" in page
    assert page.index("![startup](startup.png)") < page.index("## confrag bench startup")
    assert page.count("\n## confrag bench ") == 2


def test_its_benches_are_those_that_there_are() -> None:
    assert {*everything.PARTS, "all"} == set(BENCHES)
    assert {figure.bench for figure in everything.FIGURES} == set(everything.PARTS)


def test_a_bench_that_cannot_be_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def runs(request: Request, _: object) -> Report:
        asked.append(request)
        return report("parallel", {})

    def fails(request: Request, _: object) -> Report:
        asked.append(request)
        raise ServiceError("the server is away")

    monkeypatch.setattr(parallel, "run", runs)
    monkeypatch.setattr(model, "run", fails)
    monkeypatch.setattr(everything, "find_spec", lambda _: None)
    page = everything.run(Request(("parallel", "model"), ("embed=bge_small_en",)), silent)
    assert [part.bench for part in page.parts] == ["parallel"]
    assert dict(page.not_run) == {
        "model: vllm, vllm_awq": "vLLM is not installed; pip install 'confrag[vllm]'",
        "model": "the server is away",
    }
    assert [request.words for request in asked] == [(), ("quickstart",)]
    assert {request.overrides for request in asked} == {("embed=bge_small_en", "bench.repeats=1")}
    with pytest.raises(ServiceError, match="the server is away"):
        everything.run(Request(("model",), ()), silent)


def test_repeats_that_are_asked_for_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(request: Request, _: object) -> Report:
        assert request.overrides == ("bench.repeats=2",)
        return dataclasses.replace(report("parallel", {}), bench="parallel")

    monkeypatch.setattr(parallel, "run", runs)
    assert len(everything.run(Request(("parallel",), ("bench.repeats=2",)), silent).parts) == 1


def test_what_a_cache_saves_is_a_retrieval_that_reranks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr(cache, "run", lambda request, _: asked.append(request) or report("cache", {}))
    everything.run(Request(("cache",), ()), silent)
    everything.run(Request(("cache",), ("conf=hybrid",)), silent)
    assert [request.overrides for request in asked] == [
        ("conf=multi_route", "bench.repeats=1"),
        ("conf=hybrid", "bench.repeats=1"),
    ]


def test_a_word_that_is_no_bench() -> None:
    with pytest.raises(UserError) as error:
        everything.run(Request(("paralel",)), silent)
    assert str(error.value) == (
        "bench all knows no bench 'paralel'; known: startup, index, parallel, cache, model. Did you mean 'parallel'?"
    )


def test_the_files_that_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel, "run", lambda *_: report("parallel", {"sequential_over_parallel_2": 1.9}))
    monkeypatch.setattr(model, "run", lambda *_: report("model", {}))
    assert main(["bench", "all", "parallel", "model", f"state_dir={tmp_path}", "output=json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    (folder,) = (tmp_path / "bench").iterdir()
    assert json.loads((folder / "report.json").read_text("utf-8")) == printed
    assert {path.name for path in folder.iterdir()} == {"report.md", "report.json", "parallel.png", "model.png"}
    assert (folder / "parallel.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_done_before_an_interrupt_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Report:
        (folder,) = (tmp_path / "bench").iterdir()
        assert (folder / "report.json").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "run", lambda *_: report("index", {"linear_over_trie_last_word": 8000.0}))
    monkeypatch.setattr(parallel, "run", interrupted)
    assert main(["bench", "all", "index", "parallel", "cache", f"state_dir={tmp_path}"]) == 130
    out, err = capfd.readouterr()
    (folder,) = (tmp_path / "bench").iterdir()
    assert err.splitlines()[-2:] == [f"kept in {folder}", "confrag: interrupted"]
    assert {path.name for path in folder.iterdir()} == {"report.md", "report.json", "index.png"}
    assert (folder / "report.md").read_text("utf-8") in out
    assert json.loads((folder / "report.json").read_text("utf-8"))["not_run"] == {
        name: f"not reached; 'confrag bench all {name}' measures it" for name in ("parallel", "cache")
    }
