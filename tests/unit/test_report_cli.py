"""Verb `report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confrag.cli import main
from confrag.config import compose
from tests.reports import write_sweep

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep", queries=12)


def refused(capsys: Captured, *arguments: str) -> str:
    assert main(["report", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.removeprefix("confrag: ").rstrip("\n")


def test_a_table_and_three_files_in_the_folder_of_the_sweep(sweep: Path, capsys: Captured) -> None:
    assert main(["report", str(sweep), "baseline=map · dense"]) == 0
    captured = capsys.readouterr()
    assert "chroma · hybrid" in captured.out
    assert captured.err == f"report: {sweep}/report.html\n"
    data = json.loads((sweep / "report.json").read_text("utf-8"))
    assert data["baseline"] == "map · dense"
    assert (sweep / "report.csv").read_text("utf-8").startswith("rank,group,name,conf,recall,")
    # Its own files are no jobs to the next report.
    assert main(["report", str(sweep)]) == 0


def test_json_and_another_folder(sweep: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["report", str(sweep), "output=json", f"out={tmp_path}/new", "metric=f1"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "f1"
    assert (tmp_path / "new" / "report.html").is_file()
    assert not (sweep / "report.html").exists()


def test_several_sweeps(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    other = write_sweep(tmp_path / "other", [["conf=milvus_flat", "recall=hybrid"]], queries=12)
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(sweep), str(other)]) == 0
    assert "milvus_flat · hybrid" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.html").is_file()


def test_calls_that_are_not_understood(sweep: Path, capsys: Captured) -> None:
    assert refused(capsys).startswith("report: the folder of a sweep or job is missing\nusage: confrag report DIR...")
    assert refused(capsys, str(sweep), "bseline=1") == (
        "'bseline=1' is not understood; options of report: metric, baseline, out, output. Did you mean 'baseline'?"
    )
    assert refused(capsys, str(sweep), "output=xml") == "output = 'xml': must be text or json"
    assert refused(capsys, str(sweep / "no")) == f"{sweep}/no: there is no such folder"
    assert refused(capsys, "-m", str(sweep)).startswith("report reads what was evaluated; -m and Hydra's views")
    assert refused(capsys, "export", str(sweep)) == "report export: name=NAME is missing, the name of the preset"
    assert refused(capsys, "export", str(sweep), str(sweep), "name=a").startswith("report export takes one folder")
    assert refused(capsys, "export", str(sweep), "name=a", "force=1") == "force = '1': must be true or false"
    assert refused(capsys, "export", str(sweep), "name=a", "job=9").startswith("job=9: there is no such job that is")


def test_the_winner_and_another_job_become_presets(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONFRAG_CONFIG_DIR", raising=False)
    assert main(["report", "export", str(sweep), "name=winner"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("conf/conf/winner.yaml: map · hybrid. Try:\n")  # as good as the best, and faster
    assert '  confrag run --config-dir conf conf=winner corpus.path=DIR query="..."\n' in out
    assert compose(["conf=winner"], tmp_path / "conf").choices["recall"] == "hybrid"
    monkeypatch.setenv("CONFRAG_CONFIG_DIR", str(tmp_path / "own"))
    assert main(["report", "export", str(sweep), "name=second", "job=0"]) == 0
    assert compose(["conf=second"], tmp_path / "own").choices["recall"] == "dense"
    assert main(["report", "export", str(sweep), "name=third", "--config-dir", str(tmp_path / "third")]) == 0
    assert (tmp_path / "third" / "conf" / "third.yaml").is_file()
