"""One collection and several processes: one writes at a time, the others wait, and those that only ask go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import confrag
from tests.engine import Workplace, answers, hashed_registered

from filelock import FileLock  # isort: skip

QUESTIONS = ["What do owls hunt?", "When do newts sleep?"]
CHILD = """
import json, sys, threading
from pathlib import Path
import confrag
from tests.engine import Workplace, hashed_registered
from confrag.runtime import ingest

root, preset, *more = json.loads(sys.argv[1])
place = Workplace(Path(root))


def stop_before(name, phase):
    # The parent says when to go on.
    real = getattr(ingest, name)

    def stopping(*args):
        print(phase, flush=True)
        sys.stdin.readline()
        return real(*args)

    setattr(ingest, name, stopping)

stop_before("write_nodes", "writing")
if "+watched=true" in more:
    more.remove("+watched=true")
    stop_before("delete_documents", "removing")
    stop_before("finish", "finishing")
with hashed_registered():
    app = place.load(preset, *more)
    try:
        print(json.dumps(app.ingest().as_dict()), flush=True)
    except confrag.UserError as error:
        print(json.dumps(str(error)), flush=True)
"""


class Child:
    """Another process that ingests, and stops before it writes until it is told to go on."""

    def __init__(self, place: Workplace, preset: str, *more: str, watched: bool = False) -> None:
        # Watched, it also stops when changed files are done and before removed ones go, and before it finishes.
        more = (*more, "+watched=true") if watched else more
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps([str(place.root), preset, *more])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path)
    made.write(owls="Barn owls hunt voles at night.", bees="Bees dance.")
    return made


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.end()


@pytest.mark.parametrize(
    ("preset", "more"),
    [("map", ()), ("map", ("recall=lexical",)), ("chroma", ())],
    ids=["map", "words", "chroma"],
)
def test_one_asks_while_another_writes(
    preset: str, more: tuple[str, ...], place: Workplace, children: list[Child]
) -> None:
    """At every moment the owls are found, as they were or as they are."""
    with place.load(preset, *more) as app:
        before = answers(app, QUESTIONS)
        place.write(owls="Barn owls hunt shrews at dusk.", newts="Newts sleep under logs.")
        (place.docs / "bees.txt").unlink()
        children.append(child := Child(place, preset, *more, watched=True))
        assert child.line() == "writing"
        assert answers(app, QUESTIONS) == before
        child.go_on()
        for phase in ("removing", "finishing"):
            assert child.line() == phase
            assert app.retrieve("What do barn owls hunt?")[0].file == "owls.txt"
            child.go_on()
        report = json.loads(child.line())
        assert (report["added"], report["changed"], report["removed"]) == (1, 1, 1)
        assert app.retrieve("What do barn owls hunt?")[0].text == "Barn owls hunt shrews at dusk."
        assert {hit.file for hit in app.retrieve("bees newts owls", topk=50)} == {"owls.txt", "newts.txt"}
        again = app.ingest()
        assert (again.added, again.changed, again.unchanged, again.embedded) == (0, 0, 2, 0)


@pytest.mark.parametrize("preset", ["map", "chroma"])
def test_what_is_asked_again_and_again_while_another_writes(
    preset: str, place: Workplace, children: list[Child]
) -> None:
    """The same from several threads, at moments that nobody chose."""
    place.write(**{f"note{number}": f"Note {number} on owls." for number in range(200)})
    with place.load(preset) as app:
        place.write(**{f"note{number}": f"Note {number} on owls and mice." for number in range(0, 200, 3)})
        children.append(child := Child(place, preset))
        assert child.line() == "writing"
        asked, over = [0], threading.Event()

        def ask() -> None:
            while not over.is_set():
                assert len(app.retrieve("owls")) == 6
                asked[0] += 1

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            child.go_on()
            assert json.loads(child.line())["changed"] == 67
            over.set()
            for each in asking:
                each.result()
        assert asked[0]
        assert "mice" in app.retrieve("mice")[0].text


@pytest.mark.parametrize("preset", ["map", "chroma"])
def test_a_second_ingest_waits_and_finds_nothing_to_do(
    preset: str, place: Workplace, children: list[Child], caplog: pytest.LogCaptureFixture
) -> None:
    children.append(child := Child(place, preset))
    assert child.line() == "writing"
    waiting = threading.Thread(target=lambda: (wait_for(caplog, "waiting up to 60 s"), child.go_on()))
    waiting.start()
    with place.load(preset) as app:
        assert (app.corpus.added, app.corpus.unchanged, app.corpus.embedded) == (0, 2, 0)
    waiting.join()
    (message,) = (record.getMessage() for record in caplog.records if "waiting" in record.getMessage())
    (collection,) = place.collections()
    assert message == f"{collection} is being written by another process (pid {child.pid}); waiting up to 60 s"
    assert json.loads(child.line())["added"] == 2


def wait_for(caplog: pytest.LogCaptureFixture, text: str) -> None:
    for _ in range(600):
        if text in caplog.text:
            return
        time.sleep(0.05)
    raise AssertionError(f"'{text}' was never said")


def test_a_file_that_comes_while_one_waits_is_not_taken_for_removed(
    place: Workplace, children: list[Child], caplog: pytest.LogCaptureFixture
) -> None:
    """What is compared is the corpus as it is when the lock is there, and not as it was before."""
    children.append(child := Child(place, "map"))
    assert child.line() == "writing"

    def meanwhile() -> None:
        wait_for(caplog, "waiting up to 60 s")
        place.write(newts="Newts sleep under logs.")
        child.go_on()

    waiting = threading.Thread(target=meanwhile)
    waiting.start()
    with place.load("map") as app:
        assert app.corpus.files == 3
    waiting.join()


def test_the_wait_has_an_end(place: Workplace, children: list[Child]) -> None:
    children.append(child := Child(place, "map"))
    assert child.line() == "writing"
    with pytest.raises(confrag.UserError) as caught:
        place.load("map", "lock_timeout_s=0.3").start()
    collection = place.load("map").compiled.collection
    assert str(caught.value) == (
        f"{place.state}/collections/{collection} is in use by another process (pid {child.pid}): it is released when "
        "that process has written its documents. Wait for it, raise lock_timeout_s, or use another state_dir"
    )
    child.go_on()
    assert json.loads(child.line())["added"] == 2


def test_milvus_lite_says_so_at_once(place: Workplace, children: list[Child]) -> None:
    with place.load("milvus_flat"):
        children.append(child := Child(place, "milvus_flat", "lock_timeout_s=1000"))
        message = json.loads(child.line())
    collection = place.load("milvus_flat").compiled.collection
    assert message == (
        f"{place.state}/collections/{collection} is in use by another process (pid {os.getpid()}): "
        "Milvus Lite's files belong to one process at a time; a Milvus server has no such limit"
    )


def test_only_one_collection_is_held_and_that_no_longer_than_its_writer_lives(
    place: Workplace, children: list[Child]
) -> None:
    children.append(child := Child(place, "map"))
    assert child.line() == "writing"
    for preset, *more in (("chroma",), ("map", "+models.embed.dim=64")):
        with place.load(preset, *more, "lock_timeout_s=0") as app:
            assert app.corpus.added == 2
    child.end()
    with place.load("map", "lock_timeout_s=0") as app:
        assert (app.corpus.added, app.corpus.embedding_cache_hits) == (2, 2)


def test_an_engine_may_be_closed_by_another_thread(place: Workplace) -> None:
    app = place.load("milvus_flat").start()
    thread = threading.Thread(target=app.close)
    thread.start()
    thread.join()
    (collection,) = place.collections()
    with FileLock(f"{collection}.lock", timeout=0):
        pass


@pytest.mark.parametrize("preset", ["map", "chroma"])
def test_a_collection_that_another_process_built_anew(preset: str, place: Workplace, children: list[Child]) -> None:
    with place.load(preset) as app:
        assert app.retrieve("owls")
        (manifest,) = place.root.rglob("manifest.sqlite3")
        manifest.unlink()
        children.append(child := Child(place, preset))
        assert child.line() == "writing"
        child.go_on()
        assert json.loads(child.line())["added"] == 2
        with pytest.raises(confrag.StoreError, match="another process has built it anew; close it, and start again"):
            app.retrieve("owls")
