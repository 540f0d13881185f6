"""Sweeps: Hydra's multiruns of `confrag eval` and `confrag run`, with its plugins where they are installed."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from confrag.cli import main
from confrag.config import load
from confrag.config.compose import PLUGINS
from confrag.plan import compile_plan
from tests.chat import ChatServer, chat_server
from tests.engine import Hashed, Workplace, hashed_registered
from tests.topics import TOPICS, write_topics

LEXICAL = ("conf=map", "recall=lexical", "llm=extractive")


def plugin(name: str) -> pytest.MarkDecorator:
    """Leave a test out where a plugin of Hydra is missing."""
    there = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{name}")
    return pytest.mark.skipif(not there, reason=f"needs {name.replace('_', '-')}: pip install 'confrag[sweep,ray]'")


optuna, joblib, ray = plugin("hydra_optuna_sweeper"), plugin("hydra_joblib_launcher"), plugin("hydra_ray_launcher")


@dataclass(frozen=True)
class Done:
    """A sweep that is over."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """``eval.json`` of each, by number."""
        folders = sorted((path for path in self.folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))
        return [json.loads((folder / "eval.json").read_text()) for folder in folders]

    @property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "sweep.json").read_text())
        return found


class Bench:
    """A dataset and a state, and the command on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dataset = write_topics(root / "topics")
        self.state = root / "state"

    def words(self, *overrides: str, folder: str = "sweep") -> list[str]:
        own = [f"dataset.path={self.dataset}", f"state_dir={self.state}", f"hydra.sweep.dir={self.root / folder}"]
        return ["eval", "-m", *own, *overrides]

    def sweep(self, *overrides: str, capfd: pytest.CaptureFixture[str], folder: str = "sweep") -> Done:
        """In this process; LazyLLM inspects the stack, so in a thread of its own."""
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(main, self.words(*overrides, folder=folder)).result()
        out, err = capfd.readouterr()
        return Done(code, out, err, self.root / folder)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_jobs_share_their_embeddings(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    options = Workplace(bench.root / "place").config_dir
    Hashed.asked.clear()
    with hashed_registered():
        done = bench.sweep(
            *("--config-dir", str(options), "conf=map,milvus_flat", "recall=dense,lexical"),
            *("embed=hashed", "llm=extractive", "objective=[mrr@10,latency_ms_p50]"),
            capfd=capfd,
        )
    assert done.code == 0
    assert sorted(Hashed.asked) == sorted(f"The {topic} has number {n}." for n, topic in enumerate(TOPICS))
    assert [job["overrides"][-4:-2] for job in done.jobs] == [
        [f"conf={conf}", f"recall={recall}"] for conf in ("map", "milvus_flat") for recall in ("dense", "lexical")
    ]
    assert [job["corpus"]["embedded"] for job in done.jobs] == [8, 0, 0, 0]
    assert {job["metrics"]["ndcg@10"] for job in done.jobs[1::2]} == {1.0}
    # Both stores are exact.
    assert len({job["metrics"]["ndcg@10"] for job in done.jobs[::2]}) == 1
    about = done.about
    assert about["sweep"] == {"conf": ["map", "milvus_flat"], "recall": ["dense", "lexical"]}
    assert about["objective"] == ["mrr@10", "latency_ms_p50"]
    assert about["command"][:3] == ["confrag", "eval", "-m"]
    assert about["started"] <= about["ended"]
    assert "topics (test), 8 queries" in done.out
    assert all(name in done.out for name in ("map · lexical", "milvus_flat · dense"))
    assert {"report.html", "report.json", "report.csv"} <= {path.name for path in done.folder.iterdir()}


def test_one_json_document(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    done = bench.sweep(*LEXICAL, "retrievers.lexical.topk=0,2", "output=json", capfd=capfd)
    found = json.loads(done.out)
    assert done.code == 2
    assert found == {"folder": str(done.folder), "jobs": done.jobs}
    assert [job["status"] for job in found["jobs"]] == ["failed", "done"]
    assert json.loads((done.folder / "report.json").read_text())["failures"]["jobs"][0]["error"].endswith(
        "retrievers.lexical.topk = 0: must be greater than or equal to 1"
    )


def test_when_every_job_fails(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    done = bench.sweep(*LEXICAL, "retrievers.lexical.topk=0,-1", capfd=capfd)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("must be greater than or equal to 1") == 2  # and not once more by the report
    assert "Traceback" not in done.err


def test_jobs_that_cannot_be_compared(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    other = write_topics(bench.root / "other", TOPICS[:4])
    done = bench.sweep(*LEXICAL, f"dataset.path={bench.dataset},{other}", capfd=capfd)
    assert (done.code, done.out) == (0, "")  # each is evaluated; only the table is missing
    assert [job["status"] for job in done.jobs] == ["done", "done"]
    assert "confrag: no report: " in done.err
    assert "a report compares jobs on one dataset" in done.err


def test_a_folder_holds_one_sweep(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.sweep(*LEXICAL, "retrievers.lexical.topk=1,2,3", capfd=capfd).code == 0
    again = bench.sweep(*LEXICAL, "retrievers.lexical.topk=1,2", capfd=capfd)
    assert again.code == 2
    assert again.err == (
        f"confrag: hydra.sweep.dir = '{bench.root / 'sweep'}': a sweep is in it already; take another folder, or go on "
        "with it by resume=true\n"
    )
    resumed = bench.sweep(*LEXICAL, "retrievers.lexical.topk=1,2", "resume=true", capfd=capfd)
    assert len(json.loads((resumed.folder / "report.json").read_text())["jobs"]) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "hydra/launcher=submitit_local",
            "hydra/launcher=submitit_local needs the package 'hydra-submitit-launcher', which is not installed. "
            "Install it with: pip install 'confrag[cluster]'",
        ),
        ("objective=ndgc@10", "  objective: 'ndgc@10' is nothing that is measured; known: "),
        ("conf=map,chrome", "conf=chrome: there is no such preset; known: "),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir: leave it out; the folder of a job is named by the job's number"),
    ],
)
def test_mistakes_are_found_before_the_first_job(
    bench: Bench,
    override: str,
    message: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A plugin that the tests' environment never has, instead of one that it may have.
    monkeypatch.setitem(
        PLUGINS, ("hydra/launcher", "submitit_local"), ("hydra-submitit-launcher", "pip install 'confrag[cluster]'")
    )
    done = bench.sweep("llm=extractive", "recall=lexical,dense", override, capfd=capfd)
    assert done.code == 2
    assert message in done.err
    assert not done.folder.exists()


@pytest.mark.parametrize(
    "key", ["sweeper.custom_search_space", "launcher.ray.init.runtime_env.worker_process_setup_hook"]
)
def test_a_sweep_names_no_python_code(bench: Bench, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = bench.sweep(*LEXICAL, f"hydra.{key}=os.getcwd", capfd=capfd)
    assert done.err == f"confrag: hydra.{key} = 'os.getcwd': a configuration may not name Python code\n"


@optuna
def test_optuna_finds_what_is_best(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Trials that fail end nothing: with this seed, the third one asks for no node at all."""
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "eval.seed=3")
    words = (*LEXICAL, *search, "retrievers.lexical.topk=range(-1,3)")
    done = bench.sweep(*words, capfd=capfd)
    failed = [job["status"] == "failed" for job in done.jobs]
    assert failed == [False, False, True, False]
    best = yaml.safe_load((done.folder / "optimization_results.yaml").read_text())
    assert best["best_value"] == 1.0
    assert best["best_params"]["++retrievers.lexical.topk"] > 0
    assert done.about["sweep"] == {"retrievers.lexical.topk": ["range(-1,3)"]}
    assert done.code == 2
    assert "trial" not in done.err.lower()
    # The seed is fixed: the same call chooses the same jobs, and finds them done.
    again = bench.sweep(*words, "resume=true", capfd=capfd, folder="again")
    chosen = [[topk(job) for job in sweep.jobs] for sweep in (done, again)]
    assert chosen[0] == chosen[1]
    assert again.err.count("going on; 8 of 8 queries are done") == failed.count(False)


def topk(job: dict[str, Any]) -> str:
    (found,) = (override for override in job["overrides"] if override.startswith("retrievers.lexical.topk="))
    return str(found)


@optuna
def test_optuna_with_several_objectives(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    done = bench.sweep(
        *(*LEXICAL, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "retrievers.lexical.topk=1,2"),
        "objective=[ndcg@10,latency_ms_p50]",
        capfd=capfd,
    )
    assert done.code == 0
    front = yaml.safe_load((done.folder / "optimization_results.yaml").read_text())["solutions"]
    fastest = min(job["objective"]["latency_ms_p50"] for job in done.jobs)
    # All are equally good, so that only the fastest is on the front: latency is minimised.
    assert [solution["values"] for solution in front] == [[1.0, fastest]]


@optuna
def test_optuna_when_every_job_fails(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    done = bench.sweep(
        *LEXICAL, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "retrievers.lexical.topk=range(-3,0)", capfd=capfd
    )
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "confrag", *words]


def in_processes(bench: Bench, *overrides: str) -> Done:
    done = subprocess.run(command(bench.words(*overrides)), capture_output=True, text=True, check=False, timeout=240)
    return Done(done.returncode, done.stdout, done.stderr, bench.root / "sweep")


@pytest.mark.slow
@joblib
def test_joblib(bench: Bench) -> None:
    """Two at once; Milvus Lite's file belongs to one process, so that its jobs take turns; one fails."""
    done = in_processes(
        bench,
        *("conf=map,milvus_flat", "recall=lexical", "llm=extractive", "retrievers.lexical.topk=2,3,0"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    )
    assert done.code == 2, done.err
    assert [job["status"] for job in done.jobs] == ["done", "done", "failed"] * 2
    assert {job["metrics"]["ndcg@10"] for job in done.jobs if job["status"] == "done"} == {1.0}
    assert "map · topk=2" in done.out
    assert done.err.count("must be greater than or equal to 1") == 2
    assert "Traceback" not in done.err


def test_who_has_a_file_of_one_process_open_is_waited_for(tmp_path: Path) -> None:
    from confrag.evaluate.turn import turn  # LazyLLM comes with it, which has to be prepared before

    plans = {name: compile_plan(load(name, [f"state_dir={tmp_path}"])[1], name) for name in ("milvus_flat", "map")}
    said: list[str] = []

    def second() -> None:
        with turn(plans["milvus_flat"], tmp_path, said.append):
            said.append("its turn")

    with ThreadPoolExecutor(1) as pool:
        with turn(plans["milvus_flat"], tmp_path, said.append):
            waiting = pool.submit(second)
            assert not wait([waiting], timeout=0.3).done
            (told,) = said
            assert told.startswith(
                "milvus_flat: waits for another job, which has the same collection open. Milvus Lite"
            )
        waiting.result(30)
    assert said == [told, "its turn"]
    with turn(plans["map"], tmp_path, said.append), turn(plans["map"], tmp_path, said.append):
        pass  # anybody may read it at any time


@pytest.mark.slow
@ray
@pytest.mark.slow
def test_ray(bench: Bench) -> None:
    """A cluster of this machine."""
    done = in_processes(
        bench,
        *(*LEXICAL, "retrievers.lexical.topk=2,0", "hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=1"),
    )
    assert done.code == 2, done.err
    assert [job["status"] for job in done.jobs] == ["done", "failed"]
    assert "topics (test), 8 queries" in done.out


@joblib
def test_a_sweep_of_run_in_other_processes(tmp_path: Path, harbour: Path) -> None:
    own = [f"corpus.path={harbour}", f"state_dir={tmp_path / 'state'}", "recall=lexical", "llm=extractive"]
    words = ["run", "-m", *own, "retrievers.lexical.topk=1,0", "query=When does the harbour office open?"]
    done = subprocess.run(
        command([*words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "output=json"]),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    jobs = json.loads(done.stdout)["jobs"]
    assert (done.returncode, [job["exit_code"] for job in jobs]) == (2, [0, 2])
    assert jobs[0]["result"]["answers"][0]["sources"][0]["file"] == "office.txt"
    assert jobs[1]["result"] is None


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server(right) as running:
        yield running


def right(message: str) -> str:
    topic = next(topic for topic in TOPICS if f"the {topic}?" in message)
    return f"It is number {TOPICS.index(topic)} [1]."


def asking(server: ChatServer) -> tuple[str, ...]:
    llm = (f"models.llm.base_url={server.url}", "models.llm.model=test", "models.llm.retries=0")
    return ("conf=map", "recall=lexical", "llm=openai_compatible", *llm, "retrievers.lexical.topk=1,2,3")


def stopped_in_the_second_job(
    bench: Bench, server: ChatServer, stop: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str, str]:
    """A sweep of three jobs that is stopped when the second one asks its fourth question."""
    reached, freed, before = threading.Event(), threading.Event(), len(server.asked)

    def held(message: str) -> str:
        if len(server.asked) - before > len(TOPICS) + 3:
            reached.set()
            freed.wait(30)
        return right(message)

    server.answer = held
    try:
        started = subprocess.Popen(
            command(bench.words(*asking(server))), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert reached.wait(120)
        stop(started)
        out, err = started.communicate(timeout=60)
    finally:
        freed.set()
        server.answer = right
    return started.returncode, out, err


def test_a_killed_sweep_goes_on(bench: Bench, server: ChatServer, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, _ = stopped_in_the_second_job(bench, server, lambda process: process.kill())
    assert code == -signal.SIGKILL
    before = len(server.asked)
    resumed = bench.sweep(*asking(server), "resume=true", capfd=capfd, folder="resumed")
    assert "going on; 8 of 8 queries are done" in resumed.err
    assert "going on; 3 of 8 queries are done" in resumed.err
    assert len(server.asked) - before == 5 + 8
    undisturbed = bench.sweep(*asking(server), capfd=capfd, folder="undisturbed")
    assert [figures(job) for job in resumed.jobs] == [figures(job) for job in undisturbed.jobs]
    tables = [json.loads((done.folder / "report.json").read_text()) for done in (resumed, undisturbed)]
    ranked = [[(job["name"], job["rank"], job["metrics"]) for job in table["jobs"]] for table in tables]
    assert ranked[0] == ranked[1]


def figures(job: dict[str, Any]) -> dict[str, Any]:
    return {key: job[key] for key in ("key", "status", "metrics", "tokens", "dataset")}


def test_what_is_done_is_reported_after_an_interrupt(bench: Bench, server: ChatServer) -> None:
    code, out, err = stopped_in_the_second_job(bench, server, lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert "what is done is kept; the same command with resume=true goes on" in err
    assert "topics (test), 8 queries" in out
    table = json.loads((bench.root / "sweep" / "report.json").read_text())
    assert len(table["jobs"]) == 1
    assert [job["status"] for job in table["failures"]["jobs"]] == ["unfinished"]
