"""Reports over jobs with known differences."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from confrag.errors import UserError
from confrag.report import build, html, read, table, write
from confrag.report.naming import swept_keys
from tests.reports import edit_rows, product, write_job, write_sweep

TOPK = "retrievers.chunk.topk"
ALL_STORES = {"conf": ["map", "chroma"], "recall": ["dense", "lexical", "hybrid"]}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only read: four jobs that are done, and one that failed."""
    return write_sweep(tmp_path_factory.mktemp("sweep"), failed=["conf=milvus_remote,recall=dense"])


@pytest.fixture(scope="module")
def data(sweep: Path) -> dict[str, Any]:
    return build(read([sweep]), baseline="conf=map,recall=dense")


def names(data: dict[str, Any]) -> list[str]:
    return [job["name"] for job in data["jobs"]]


def refused(*folders: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        build(read(folders), **options)
    return str(caught.value)


def test_the_leaderboard(data: dict[str, Any]) -> None:
    assert names(data) == ["chroma · hybrid", "map · hybrid", "chroma · dense", "map · dense"]
    assert [job["rank"] for job in data["jobs"]] == [1, 2, 3, 4]
    assert [job["group"] for job in data["jobs"]] == [1, 1, 2, 2]
    for job in data["jobs"]:
        document = json.loads((Path(job["folder"]) / "eval.json").read_text("utf-8"))
        for name, mean in document["metrics"].items():
            assert job["metrics"][name]["mean"] == pytest.approx(mean)
            low, high = job["metrics"][name]["interval"]
            assert low < mean < high
        assert job["latency_ms"] == document["latency_ms"]
        assert job["tokens_per_query"] == 340
        assert job["cost_per_1000"] == pytest.approx(0.12)


def test_comparisons_with_the_best_and_with_the_baseline(data: dict[str, Any]) -> None:
    best, same, _, dense = data["jobs"]
    assert best["against_best"] is None
    assert (same["against_best"]["difference"], same["against_best"]["p"]) == (0.0, 1.0)
    assert dense["against_best"]["significant"]
    assert dense["against_baseline"] is None
    assert best["against_baseline"]["difference"] == pytest.approx(-dense["against_best"]["difference"])
    assert best["against_baseline"]["n"] == 30


def test_the_front_of_quality_and_latency(data: dict[str, Any]) -> None:
    # Stores answer alike, and map is the fastest; all cost the same, so that cost decides nothing.
    assert data["pareto"] == {"axes": ["quality", "latency_ms_p50"], "front": ["map · hybrid", "map · dense"]}


def test_cost_is_an_axis_where_it_differs(tmp_path: Path) -> None:
    found = build(read([write_sweep(tmp_path, product(**{TOPK: ["3", "6"]}))]))
    assert found["pareto"]["axes"] == ["quality", "latency_ms_p50", "cost_per_1000"]
    assert found["pareto"]["front"] == ["topk=6", "topk=3"]


def test_effects_of_the_swept_keys(data: dict[str, Any]) -> None:
    recall, conf = data["effects"]
    assert (recall["key"], conf["key"]) == ("recall", "conf")
    assert recall["share"] == pytest.approx(1)
    assert conf["share"] == pytest.approx(0)
    assert recall["paired"]
    assert recall["blocks"] == 2
    dense, hybrid = recall["values"]
    assert (dense["value"], hybrid["value"], hybrid["best"]) == ("dense", "hybrid", True)
    assert dense["difference"] == pytest.approx(dense["mean"] - hybrid["mean"])
    assert dense["p_holm"] < 0.01
    assert [value["difference"] for value in conf["values"]] == [0, 0]


def test_shares_of_a_design_that_adds_up(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, product(**ALL_STORES, **{TOPK: ["4", "6"]}), queries=12)
    shares = {effect["key"]: effect["share"] for effect in build(read([folder]))["effects"]}
    assert set(shares) == {"conf", "recall", TOPK}
    assert 0.9 < sum(shares.values()) <= 1 + 1e-9
    assert shares["recall"] > shares[TOPK] > shares["conf"]


def test_an_incomplete_design_is_compared_where_it_is_complete(tmp_path: Path) -> None:
    jobs = [["conf=map", "recall=dense"], ["conf=map", "recall=hybrid"], ["conf=chroma", "recall=hybrid"]]
    effects = {effect["key"]: effect for effect in build(read([write_sweep(tmp_path, jobs)]))["effects"]}
    assert (effects["recall"]["paired"], effects["recall"]["blocks"]) == (True, 1)
    assert (effects["conf"]["paired"], effects["conf"]["blocks"]) == (True, 1)
    assert effects["conf"]["values"][0]["mean"] == pytest.approx(effects["conf"]["values"][1]["mean"])


def test_values_that_a_sampler_drew_have_a_rank_correlation(tmp_path: Path) -> None:
    drawn = [["2", "chroma"], ["5", "map"], ["7", "chroma"], ["9", "map"]]
    jobs = [[f"{TOPK}={topk}", f"conf={conf}", f"generation.temperature=0.{topk}"] for topk, conf in drawn]
    found = build(read([write_sweep(tmp_path, jobs)]))
    effect = next(effect for effect in found["effects"] if effect["key"] == TOPK)
    assert not effect["paired"]
    assert effect["correlation"] == pytest.approx(1)
    assert all(value["p_holm"] is None and value["interval"] is None for value in effect["values"])


def test_queries_on_which_the_jobs_differ_come_first(data: dict[str, Any]) -> None:
    spreads = [query["spread"] for query in data["queries"]]
    assert spreads == sorted(spreads, reverse=True)
    first = data["queries"][0]
    assert first["spread"] == pytest.approx(max(first["scores"].values()) - min(first["scores"].values()))
    assert first["wrong"] == [name for name in first["wrong"] if first["scores"][name] < 0.5]
    assert len(spreads) == 30


def test_what_failed_is_listed(sweep: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sweep, tmp_path / "sweep"))

    def fail(row: dict[str, Any]) -> None:
        if row["id"] == "3":
            row.update(error="the model did not answer", answer=None, sources=[], metrics={"ndcg@10": 0.0, "f1": 0.0})

    edit_rows(folder / "0", fail)
    (folder / "5").mkdir()
    document = json.loads((folder / "1" / "eval.json").read_text("utf-8"))
    document["corpus"]["failed"] = [{"file": "broken.pdf", "reason": "not a PDF"}]
    (folder / "1" / "eval.json").write_text(json.dumps(document), "utf-8")
    found = build(read([folder]))
    failures = found["failures"]
    assert [(job["status"], job["name"]) for job in failures["jobs"]] == [
        ("failed", "milvus_remote · dense"),
        ("unfinished", "default"),
    ]
    assert failures["queries"] == [{"name": "map · dense", "id": "3", "error": "the model did not answer"}]
    assert failures["documents"] == [{"file": "broken.pdf", "error": "not a PDF", "jobs": ["map · hybrid"]}]
    assert found["sentences"]["failures"].startswith(
        "2 jobs have no figures; 1 query failed; 1 document could not be read."
    )
    assert next(job for job in found["jobs"] if job["name"] == "map · dense")["failed_queries"] == 1


def test_the_order_of_the_jobs_changes_nothing(sweep: Path, tmp_path: Path, data: dict[str, Any]) -> None:
    for old, new in (("0", "3"), ("1", "2"), ("2", "0"), ("3", "1"), ("4", "4")):
        shutil.copytree(sweep / old, tmp_path / new)
    shutil.copy(sweep / "sweep.json", tmp_path)
    found = build(read([tmp_path]), baseline="conf=map,recall=dense")

    def shown(report: dict[str, Any]) -> Any:
        jobs = [{key: value for key, value in job.items() if key != "folder"} for job in report["jobs"]]
        return jobs, report["pareto"], report["queries"][0]["id"], report["sentences"]

    assert shown(found) == shown(data)


def test_two_sweeps_in_one_report(sweep: Path, tmp_path: Path) -> None:
    other = write_sweep(tmp_path / "later", product(conf=["map"], recall=["hybrid", "lexical"]))
    results = read([sweep, other])
    found = build(results)
    equal = [name for name in names(found) if name.startswith("map · hybrid")]
    assert sorted(equal) == sorted([f"map · hybrid ({sweep.name}/1)", "map · hybrid (later/0)"])
    assert len(set(names(found))) == 6
    assert [entry["folder"] for entry in found["sweeps"]] == [str(sweep), str(other)]
    assert swept_keys(results.jobs) == ["conf", "recall"]


def test_a_folder_that_is_named_twice_counts_once(sweep: Path) -> None:
    assert len(read([sweep, sweep / "." / ""]).jobs) == 5


def test_the_last_words_of_keys_name_jobs_where_they_are_clear(tmp_path: Path) -> None:
    clear = write_sweep(tmp_path / "clear", product(conf=["map"], **{TOPK: ["3", "6"]}))
    assert names(build(read([clear]))) == ["topk=6", "topk=3"]
    both = [[f"{TOPK}=6", "retrievers.lexical.topk=3"], [f"{TOPK}=3", "retrievers.lexical.topk=6"]]
    unclear = write_sweep(tmp_path / "unclear", both)
    assert f"{TOPK}=6 · retrievers.lexical.topk=3" in names(build(read([unclear])))


def test_where_a_job_ran_is_no_part_of_its_name(tmp_path: Path) -> None:
    jobs = [["conf=map", f"state_dir={place}", f"dataset.path={place}/data"] for place in ("a", "b")]
    found = build(read([write_sweep(tmp_path, jobs)]))
    assert sorted(names(found)) == ["map (0)", "map (1)"]
    assert found["effects"] == []


def test_a_single_job(tmp_path: Path) -> None:
    found = build(read([write_job(tmp_path / "job", ["conf=map", "corpus.path=a b"])]))
    assert found["sweeps"] == [{"folder": str(tmp_path / "job"), "command": "confrag eval conf=map 'corpus.path=a b'"}]
    assert names(found) == ["map"]
    assert found["effects"] == []
    assert found["sentences"]["summary"].startswith("map reaches nDCG@10 0.")
    assert [said["question"] for said in found["verdict"]] == ["What does it cost?"]


def test_what_to_take_is_said_first_and_in_plain_words(sweep: Path, data: dict[str, Any], tmp_path: Path) -> None:
    said = [entry["answer"] for entry in data["verdict"]]
    difference = data["jobs"][0]["against_baseline"]["difference"]
    assert said[0] == (
        "map · hybrid. It scores as chroma · hybrid does on every query, and is faster: 21 ms a query instead of 29 ms."
    )
    assert said[1] == (
        "chroma · hybrid is better than 2 of the 3 others by more than chance explains; 1 scores alike on every query. "
        f"Against the baseline, map · dense: +{difference:.3f}, more than chance explains."
    )
    assert said[2].startswith(
        "Half of the queries to map · hybrid are answered within 21 ms, 95 % within 44 ms. 1,000 queries cost $0.12. "
        "The fastest of all is map · dense: 12 ms, with nDCG@10 0."
    )
    # Three queries cannot tell whether it is better; what is faster may be as good.
    few = build(read([write_sweep(tmp_path / "few", product(conf=["map"], recall=["dense", "hybrid"]), queries=3)]))
    lost = -few["jobs"][1]["against_best"]["difference"]
    assert [entry["answer"] for entry in few["verdict"]][:2] == [
        f"hybrid; or, where time counts, dense: 12 ms a query instead of 21 ms. "
        f"It scores {lost:.3f} less, which may be chance.",
        "That is not shown. The difference to the other may be chance: 3 queries do not tell.",
    ]
    alike = build(read([write_sweep(tmp_path / "alike", product(conf=["map", "chroma"], recall=["dense"]))]))
    assert alike["verdict"][1]["answer"] == "No: all configurations score alike on every query."
    assert alike["verdict"][0]["answer"].startswith(f"{alike['advised']}. It scores as {alike['best']} does")


def test_the_metric_is_the_objective_unless_another_one_is_named(sweep: Path, tmp_path: Path) -> None:
    objective = write_sweep(tmp_path, objective=["latency_ms_p50", "recall@10"])
    assert build(read([objective]))["metric"] == "recall@10"
    assert build(read([objective]), metric="f1")["metric"] == "f1"
    assert refused(sweep, metric="ndgc@10") == (
        "metric=ndgc@10: was not measured of single queries; known: ndcg@10, recall@10, contains, f1. "
        "Did you mean 'ndcg@10'?"
    )


def test_the_baseline_by_name_by_number_and_by_overrides(sweep: Path, tmp_path: Path) -> None:
    results = read([sweep])
    for wanted in ("map · hybrid", "1", "conf=map,recall=hybrid"):
        assert build(results, baseline=wanted)["baseline"] == "map · hybrid"
    assert refused(sweep, baseline="conf=map") == (
        "baseline=conf=map: 2 jobs are meant: 'map · dense', 'map · hybrid'; name one of them"
    )
    assert refused(sweep, baseline="map · hybird") == (
        "baseline=map · hybird: there is no such job that is done; known: 'map · dense', 'map · hybrid', "
        "'chroma · dense', 'chroma · hybrid'. Did you mean 'map · hybrid'?"
    )
    # That of the sweep itself, which may have failed.
    assert build(read([write_sweep(tmp_path / "a", baseline="1")]))["baseline"] == "map · hybrid"
    failed = write_sweep(tmp_path / "b", failed=["conf=milvus_remote,recall=dense"], baseline="4")
    assert build(read([failed]))["baseline"] is None


def test_folders_that_hold_no_report(sweep: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == f"{tmp_path}/nowhere: there is no such folder"
    assert refused(tmp_path) == (
        f"{tmp_path}: no job in it (no eval.json, neither here nor in a numbered folder); name the folder of a sweep "
        "or job of 'confrag eval'"
    )
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "run.json").write_text("{}", "utf-8")
    assert "no job in it" in refused(tmp_path)
    (tmp_path / "0").mkdir()
    assert refused(tmp_path) == f"{tmp_path}: none of its 1 jobs is finished; go on with resume=true"
    shutil.copytree(sweep / "4", tmp_path / "1")
    assert refused(tmp_path) == (
        f"{tmp_path}: no job is done; 1 failed: milvus://127.0.0.1:19530: nothing answers; start a server, or use "
        "conf=milvus_hnsw"
    )


def test_jobs_on_different_datasets_are_refused(sweep: Path, tmp_path: Path) -> None:
    other = write_sweep(tmp_path, dataset={"name": "cmrc2018", "split": "dev", "hash": "ab12cd34ef"})
    assert refused(sweep, other) == (
        f"{other}/0 was evaluated on 'cmrc2018' (dev, ab12cd34), and {sweep}/0 on 'harbour' (test, 5f2c9a7b); "
        "a report compares jobs on one dataset"
    )


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("eval.json", "{", "0/eval.json: not valid JSON: Expecting property name"),
        ("eval.json", "[]", "0/eval.json: must be an object, and is a list"),
        ("eval.json", '{"format": 9}', "0/eval.json: format 9 is not known; this version reads 1"),
        ("queries.jsonl", '{"id": "1"}\n{', "0/queries.jsonl:2: not valid JSON"),
        ("queries.jsonl", '{"query": "?"}', "0/queries.jsonl:1: the key 'id' is missing"),
        ("queries.jsonl", None, "0/queries.jsonl: the file is missing; evaluate this job again"),
    ],
)
def test_a_damaged_job_is_named(tmp_path: Path, file: str, text: str | None, message: str) -> None:
    folder = write_sweep(tmp_path, queries=2)
    path = folder / "0" / file
    path.unlink() if text is None else path.write_text(text, "utf-8")
    assert refused(folder).startswith(f"{tmp_path}/{message}")


def test_the_table_of_the_terminal(data: dict[str, Any]) -> None:
    shown = table(data)
    lines = [line for line in shown.splitlines() if line.startswith("│")]
    assert [line.split("│")[2].strip() for line in lines] == names(data)
    assert "best" in lines[0]
    assert "< 0.001" in lines[3]
    assert "harbour (test), 30 queries" in shown
    assert "failed: milvus_remote · dense: milvus://127.0.0.1:19530: nothing answers" in shown
    assert max(map(len, table(data, width=120).splitlines())) <= 120


def test_the_files_beside_the_page(sweep: Path, tmp_path: Path, data: dict[str, Any]) -> None:
    paths = write(data, read([sweep]), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.html", "report.json", "report.csv"]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in paths)
    assert json.loads(paths[1].read_text("utf-8")) == json.loads(json.dumps(data))
    rows = list(csv.DictReader(io.StringIO(paths[2].read_text("utf-8"))))
    assert [row["name"] for row in rows] == names(data)
    assert rows[0]["recall"] == "hybrid"
    assert float(rows[0]["ndcg@10"]) == data["jobs"][0]["metrics"]["ndcg@10"]["mean"]
    assert float(rows[3]["p_holm"]) == data["jobs"][3]["against_best"]["p_holm"]


def test_the_page_says_how_far_the_judge_agrees(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", ["conf=map"], queries=4)
    path = folder / "eval.json"
    for kappa, said in ((0.5, "80 % of the answers (Cohen's kappa 0.50)"), (None, "80 % of the answers</dd>")):
        agreement = {"kappa": kappa, "accuracy": 0.8, "with": "f1", "queries": 4}
        judge = {"model": "grader", "mean": 0.7, "agreement": agreement}
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "judge": judge}), "utf-8")
        results = read([folder])
        page = html(build(results), results)
        assert f"grader: agrees with F1 on {said}" in page.replace("&#39;", "'")


def test_a_formula_in_a_name_stays_text(tmp_path: Path) -> None:
    jobs = [["conf=map", "prompts.note==1+1"], ["conf=map", "prompts.note=@SUM(A1)"]]
    _, _, path = write(build(results := read([write_sweep(tmp_path, jobs, queries=4)])), results, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert {row["prompts.note"] for row in rows} == {"'=1+1", "'@SUM(A1)"}


def test_a_file_in_the_way_is_named(sweep: Path, tmp_path: Path, data: dict[str, Any]) -> None:
    (tmp_path / "out").write_text("", "utf-8")
    with pytest.raises(UserError, match=r"out/report\.html: cannot be written: "):
        write(data, read([sweep]), tmp_path / "out")
