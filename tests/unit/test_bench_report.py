"""What benches make of their measurements: rows, ratios, Markdown, charts, messages."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from confrag.bench import BENCHES, chart, processes
from confrag.bench.report import Measurements, Report, Row, shown
from confrag.bench.request import Request
from confrag.bench.startup import IMPORT, MEASURES, STORES, ratios, run
from confrag.build.progress import silent
from confrag.cli import main
from confrag.errors import ConfragError, MissingDependencyError, ServiceError, UserError
from confrag.evaluate.machine import machine, versions

ROWS = (
    Row("map", "first start", 12.5, "s"),
    Row("map", "second start", 0.25, "s"),
    Row("map", "texts embedded, first start", 1234, "texts"),
    Row("map", "texts embedded, second start", 0, "texts"),
    Row("map", "rows, first start", 1240, "rows"),
    Row("map", "rows, second start", 1240, "rows"),
    Row("map", "vectors, first start", 1234, "vectors"),
    Row("map", "vectors, second start", 1234, "vectors"),
    Row("map", "process to first retrieval", 3.0, "s"),
    Row("lazyllm_map", "first start", 10.0, "s"),
    Row("lazyllm_map", "second start", 11.0, "s"),
    Row("lazyllm_map", "texts embedded, first start", 1000, "texts"),
    Row("lazyllm_map", "texts embedded, second start", 1000, "texts"),
    Row("lazyllm_map", "rows, first start", 1010, "rows"),
    Row("lazyllm_map", "rows, second start", 2020, "rows"),
    Row("lazyllm_map", "vectors, first start", 1000, "vectors"),
    Row("lazyllm_map", "vectors, second start", 2000, "vectors"),
    Row(IMPORT, "whole process", 2.0, "s"),
)


@pytest.fixture
def report() -> Report:
    return Report(
        bench="startup",
        rows=ROWS,
        ratios={"second_over_first_map": 0.02},
        machine={"system": "Linux", "cores": 2},
        versions={"python": "3.11.0"},
        charted=("first start", "second start"),
        notes=("A note.",),
    )


def test_ratios_of_startup() -> None:
    assert ratios(ROWS) == {
        "second_over_first_map": 0.02,
        "texts_embedded_second_map": 0,
        "rows_growth_second_map": 0,
        "process_over_import_map": 1.5,
        "lazyllm_second_over_first_map": 1.1,
        "lazyllm_texts_embedded_second_map": 1000,
        "lazyllm_rows_growth_second_map": 1.0,
    }


def test_every_measure_has_its_place() -> None:
    assert {row.measure.partition(",")[0] for row in ROWS} <= set(MEASURES)


def test_measurements_give_medians_of_times_and_the_largest_of_counts() -> None:
    taken = Measurements()
    taken.add("map", "retrieval", "ms", 3.0, 900.0)
    taken.add("map", "rows", "rows", 10)
    taken.add("map", "retrieval", "ms", 4.0)
    taken.add("map", "rows", "rows", 20)
    assert taken.rows() == [Row("map", "retrieval", 4.0, "ms"), Row("map", "rows", 20, "rows")]


def test_the_document_has_the_keys_of_the_contract(report: Report) -> None:
    document = report.as_dict()
    assert list(document) == ["bench", "rows", "ratios", "machine", "versions"]
    assert document["rows"][0] == {"case": "map", "measure": "first start", "value": 12.5, "unit": "s"}
    assert len(document["rows"]) == len(ROWS)


def test_markdown(report: Report) -> None:
    lines = report.markdown().splitlines()
    assert lines[:3] == ["# confrag bench startup", "", f"|  | map | lazyllm_map | {IMPORT} |"]
    assert lines[3] == "| --- | ---: | ---: | ---: |"
    assert lines[4:7] == [
        "| first start, s | 12.5 | 10 |  |",
        "| second start, s | 0.250 | 11 |  |",
        "| texts embedded, first start | 1,234 | 1,000 |  |",
    ]
    assert "| whole process, s |  |  | 2 |" in lines
    assert "| `second_over_first_map` | 0.020 |" in lines
    assert lines[-3:] == ["system Linux, cores 2", "", "python 3.11.0"]
    assert "A note." in lines


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0, "0"), (0.01234, "0.012"), (1.5, "1.50"), (15.04, "15.0"), (1234.5, "1,234"), (12345, "12,345")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert shown(value) == text


def test_chart_in_the_terminal(report: Report) -> None:
    out = io.StringIO()
    chart.draw_terminal(report, out)
    first, second, other, _ = out.getvalue().splitlines()
    assert first.split()[:3] == ["map", "first", "start"]
    assert first.rstrip().endswith("12.5 s")
    assert second.split()[:2] == ["second", "start"]
    assert other.startswith("lazyllm_map")
    assert first.count("█") > other.count("█") > second.count("█")


def test_chart_as_a_picture(report: Report, tmp_path: Path) -> None:
    chart.draw_png(report, tmp_path / "chart.png")
    data = (tmp_path / "chart.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert int.from_bytes(data[16:20], "big") == 9 * 150


def test_a_picture_needs_matplotlib(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError) as caught:
        chart.draw_png(report, tmp_path / "chart.png")
    assert str(caught.value) == (
        "the chart as a PNG needs the package 'matplotlib', which is not installed. "
        "Install it with: pip install 'confrag[bench]'"
    )


def test_without_matplotlib_everything_else_is_there(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("confrag.bench.startup.run", lambda request, progress: report)
    assert main(["bench", "startup"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(report.markdown())
    note, kept = err.splitlines()
    assert note.startswith("note: the chart as a PNG needs the package 'matplotlib'")
    (folder,) = (tmp_path / ".confrag" / "bench").iterdir()
    assert kept == f"kept in .confrag/bench/{folder.name}"
    assert sorted(path.name for path in folder.iterdir()) == ["report.json", "report.md"]


def test_machine_and_versions() -> None:
    assert machine().keys() == {"cpu", "cores", "memory_gb", "platform"}
    assert machine(load=True).keys() == {*machine(), "load_1min"}
    assert list(versions(["lazyllm", "no-such-package"])) == ["python", "lazyllm"]


def test_request_knows_what_is_chosen() -> None:
    request = Request(overrides=("llm=smollm2", "+store_conf.type=map", "~rerank", "corpus.path=docs"))
    assert [key for key in ("llm", "store_conf", "rerank", "corpus", "embed") if request.chooses(key)] == [
        "llm",
        "store_conf",
        "rerank",
        "corpus",
    ]


STORE_NAMES = ", ".join(STORES)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(("chrome",)), f"bench startup knows no store 'chrome'; known: {STORE_NAMES}. Did you mean 'chroma'?"),
        (
            Request(overrides=("store_conf=map",)),
            f"store_conf: bench startup chooses the stores; name them as words: {STORE_NAMES}",
        ),
        (
            Request(overrides=("recall=lexical",)),
            "retrievers: bench startup compares searches by vectors, of one embedding model; try recall=dense",
        ),
        (
            Request(overrides=("node_groups.MediumChunk.transform={kind:split,separator:x}",)),
            "node_groups.MediumChunk.transform.kind = 'split': bench startup compares with LazyLLM's sentence "
            "splitter; use kind sentence_splitter",
        ),
    ],
    ids=["store", "store_conf", "lexical", "transform"],
)
def test_what_cannot_be_measured(request_: Request, message: str) -> None:
    with pytest.raises(UserError) as caught:
        run(request_, silent)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], f"bench: a name is missing; known: {', '.join(BENCHES)}"),
        (["startop"], f"bench: there is no bench 'startop'; known: {', '.join(BENCHES)}. Did you mean 'startup'?"),
        (["startup", "-m"], "bench works on one configuration; -m and Hydra's views belong to 'confrag run'"),
        (["startup", "query=a", "query=b"], "bench asks one question"),
    ],
    ids=["none", "unknown", "multirun", "questions"],
)
def test_mistakes_on_the_command_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err == f"confrag: {message}\n"


def test_a_child_that_fails_is_told_in_its_own_words() -> None:
    with pytest.raises(ConfragError) as caught:
        processes.call("confrag.bench.rows:count_all", {"map": 1}, "counting")
    assert type(caught.value) is ConfragError
    message = str(caught.value)
    assert message.startswith("counting failed (exit code 1):\n")
    assert message.splitlines()[-1].startswith("  TypeError: ")
    assert len(message.splitlines()) <= 7


def test_a_mistake_in_a_child_stays_the_user_s() -> None:
    job = {"overrides": ["corpus.path=nowhere"], "config_dir": None, "modules": [], "questions": ["?"]}
    with pytest.raises(UserError) as caught:
        processes.call("confrag.bench.startup_child:engine_start", job, "map: first start")
    assert type(caught.value) is UserError
    assert "map: first start failed (exit code 2):" in str(caught.value)
    assert "corpus.path = 'nowhere': there is no" in str(caught.value)


@pytest.mark.parametrize(("code", "kind"), [(2, UserError), (4, ServiceError), (1, ConfragError)])
def test_a_process_that_ends_with_a_code(code: int, kind: type[ConfragError]) -> None:
    with pytest.raises(kind) as caught:
        processes.seconds(f"import sys; sys.exit({code})", "a process")
    assert type(caught.value) is kind
    assert str(caught.value) == f"a process failed (exit code {code}):\n  (it said nothing)"


def test_what_libraries_print_is_no_part_of_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noisy.py").write_text("def work(job):\n    print('noise')\n    return {'given': job['n']}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert processes.call("noisy:work", {"n": 7}, "noise") == {"given": 7}


def test_seconds_are_those_of_the_whole_process() -> None:
    assert processes.seconds("import time; time.sleep(0.3)", "a nap") >= 0.3
