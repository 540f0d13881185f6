"""`confrag plan` and `confrag ingest`, and what `run` says of its own ingest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from confrag.cli import main
from tests.engine import Workplace, hashed_registered

FILES = "node_groups.MediumChunk.transform={kind: split, separator: '|'}"
CLAUSES = ("recall=multi_route", "rerank=none", "node_groups.sentence.transform={kind: split, separator: '; '}")
HALVES = (*CLAUSES, "node_groups.sentence.transform.separator=' in '")


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path, common=(FILES,))
    made.write(
        bees="Queen bees lay eggs; worker bees live for six weeks; drones die in autumn.",
        owls="Barn owls hunt voles at night; tawny owls call in winter.",
        seals="Grey seals rest upon skerries.",
    )
    monkeypatch.chdir(tmp_path)
    return made


class Said:
    """What a command wrote, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


@pytest.fixture
def confrag(place: Workplace, capfd: pytest.CaptureFixture[str]) -> Any:
    def run(verb: str, *arguments: str, preset: str = "map") -> Said:
        code = main([verb, "--config-dir", str(place.config_dir), f"conf={preset}", *place.overrides(*arguments)])
        return Said(code, *capfd.readouterr())

    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file, with its content."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def test_a_plan_for_a_new_collection(place: Workplace, confrag: Any) -> None:
    before = snapshot(place.root)
    said = confrag("plan")
    assert said.code == 3
    assert said.lines == [
        "map: nothing is stored yet",
        "  added: 3 files: bees.txt, owls.txt, seals.txt",
        "  `MediumChunk` (3 nodes); embedding cache covers 0, 3 texts to embed; index map",
    ]
    assert said.err == ""
    assert snapshot(place.root) == before


def test_ingest_does_what_the_plan_said_and_then_nothing(place: Workplace, confrag: Any) -> None:
    said = confrag("ingest")
    assert (said.code, said.out) == (0, "")
    first, second = said.err.splitlines()
    assert first == "map: nothing is stored yet; files: 3 added"
    assert second.startswith("map: 3 files, 3 MediumChunk; 3 texts embedded, 0 from the cache, in ")
    said = confrag("plan")
    assert (said.code, said.lines) == (0, ["map: up to date; 3 files unchanged"])
    said = confrag("ingest")
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith("map: 3 files, 3 MediumChunk; up to date, in ")


def test_files_that_come_change_and_go(place: Workplace, confrag: Any) -> None:
    confrag("ingest")
    place.write(bees="Bumble bees nest underground.", empty="", **{f"note{n}": f"Note {n}." for n in range(8)})
    (place.docs / "owls.txt").unlink()
    before = snapshot(place.root)
    said = confrag("plan")
    assert said.code == 3
    assert said.lines == [
        "map: there is something to do",
        "  added: 9 files: empty.txt, note0.txt, note1.txt, note2.txt, note3.txt, and 4 more",
        "  changed: 1 file: bees.txt",
        "  removed: 1 file: owls.txt",
        "  1 file unchanged",
        "  `MediumChunk` (9 nodes); embedding cache covers 0, 9 texts to embed; index map",
        "  not read: empty.txt: empty (0 bytes)",
    ]
    assert snapshot(place.root) == before
    assert confrag("ingest").err.splitlines()[0] == "map: files: 9 added, 1 changed, 1 removed"


@pytest.mark.parametrize("preset", ["map", "chroma", "milvus_hnsw"])
def test_a_group_is_rebuilt_for_a_reason(preset: str, place: Workplace, confrag: Any) -> None:
    assert confrag("ingest", *CLAUSES, preset=preset).code == 0
    said = confrag("plan", *HALVES, preset=preset)
    index = {"map": "map", "chroma": "chroma", "milvus_hnsw": "HNSW"}[preset]
    assert said.code == 3
    assert said.lines == [
        f"{preset}: there is something to do",
        "  3 files unchanged",
        "  node_groups.sentence.transform.separator changed: rebuild `sentence` (5 nodes); "
        f"embedding cache covers 1, 4 texts to embed; index {index}",
    ]
    said = confrag("ingest", *HALVES, preset=preset)
    first, second = said.err.splitlines()
    assert first == f"{preset}: node_groups.sentence.transform.separator changed: rebuild `sentence`"
    assert second.startswith(f"{preset}: 3 files, 3 MediumChunk, 5 sentence; 4 texts embedded, 1 from the cache, in ")
    assert confrag("plan", *HALVES, preset=preset).code == 0
    assert confrag("plan", *CLAUSES, preset=preset).code == 0


def test_every_reason_of_a_group_is_named(place: Workplace, confrag: Any) -> None:
    confrag("ingest")
    said = confrag("plan", "+models.embed.salt=x", "node_groups.MediumChunk.transform.separator='; '")
    assert said.code == 3
    assert said.lines[0] == "map: nothing is stored yet in this configuration"
    assert said.lines[-1] == (
        "  models.embed.salt changed; node_groups.MediumChunk.transform.separator changed: build `MediumChunk` "
        "(6 nodes); embedding cache covers 0, 6 texts to embed; index map"
    )


def test_a_group_that_is_not_used_any_more(place: Workplace, confrag: Any) -> None:
    own = f"store_conf.kwargs.uri={place.root}/own.db"
    confrag("ingest", own, *CLAUSES)
    said = confrag("plan", own)
    assert (said.code, said.lines) == (
        3,
        ["map: there is something to do", "  3 files unchanged", "  `sentence` is not used any more: dropped"],
    )
    assert confrag("ingest", own).err.splitlines()[0] == "map: `sentence` is dropped"
    assert confrag("plan", own).code == 0


def test_a_plan_as_json(place: Workplace, confrag: Any) -> None:
    confrag("ingest", *CLAUSES)
    place.write(newts="Newts sleep.")
    said = confrag("plan", *HALVES, "output=json")
    assert (said.code, said.err) == (3, "")
    collection = said.json.pop("collection")
    assert collection != confrag("plan", *CLAUSES, "output=json").json["collection"]
    found = said.json
    assert {key: found[key] for key in ("conf", "fresh", "added", "changed", "removed", "dropped", "failed")} == {
        "conf": "map",
        "fresh": None,
        "added": ["newts.txt"],
        "changed": [],
        "removed": [],
        "dropped": [],
        "failed": {},
    }
    assert found["unchanged"] == ["bees.txt", "owls.txt", "seals.txt"]
    assert found["groups"] == [
        {"group": "MediumChunk", "reasons": [], "nodes": 1, "embed": 1, "cached": 0, "indices": ["map"]},
        {
            "group": "sentence",
            "reasons": ["node_groups.sentence.transform.separator changed"],
            "nodes": 6,
            "embed": 4,
            "cached": 2,  # a whole file that is one half; and the new file, whose chunk is embedded before
            "indices": ["map"],
        },
    ]
    assert (found["embed"], found["embedding_cache_hits"], found["up_to_date"]) == (5, 2, False)
    report = confrag("ingest", *HALVES, "output=json").json["corpus"]
    assert (report["embedded"], report["embedding_cache_hits"]) == (5, 2)
    assert confrag("plan", *HALVES, "output=json").json["up_to_date"] is True


def test_an_ingest_as_json(place: Workplace, confrag: Any) -> None:
    place.write(empty="")
    said = confrag("ingest", "output=json")
    assert said.code == 0
    found = said.json
    assert list(found) == ["conf", "collection", "corpus", "timings_s"]
    assert list(found["timings_s"]) == ["start", "ingest"]
    version = found["corpus"].pop("version")
    assert len(version) == 12
    assert found["corpus"] == {
        "files": 4,
        "added": 3,
        "changed": 0,
        "removed": 0,
        "unchanged": 0,
        "failed": [{"file": "empty.txt", "reason": "empty (0 bytes)"}],
        "nodes": {"MediumChunk": 3},
        "embedded": 3,
        "embedding_cache_hits": 0,
    }
    assert said.err.splitlines()[-1] == "  not read: empty.txt: empty (0 bytes)"


def test_plan_writes_nothing_beside_a_store_either(place: Workplace, confrag: Any) -> None:
    for preset in ("map", "chroma", "milvus_flat"):
        confrag("ingest", preset=preset)
        before = snapshot(place.root)
        assert confrag("plan", preset=preset).code == 0
        assert snapshot(place.root) == before
        assert confrag("plan", *CLAUSES, preset=preset).code == 3
        assert snapshot(place.root) == before


def test_run_says_the_same_in_a_line(place: Workplace, confrag: Any) -> None:
    said = confrag("run", "query='Where do seals rest?'")
    assert said.code == 0
    assert said.err.splitlines()[0] == "map: nothing is stored yet; files: 3 added"
    assert said.err.splitlines()[1].startswith("map: 3 files, 3 MediumChunk; 3 texts embedded, ")
    said = confrag("run", "query='Where do seals rest?'")
    assert said.err.splitlines()[0].startswith("map: 3 files, 3 MediumChunk; up to date, in ")
    said = confrag("run", *CLAUSES, "query='Where do seals rest?'")
    assert said.err.splitlines()[0] == "map: node_groups.sentence is new: rebuild `sentence`"


@pytest.mark.parametrize("verb", ["plan", "ingest"])
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-m", "{verb} works on one configuration; -m and Hydra's views belong to 'confrag run'"),
        ("--info", "{verb} works on one configuration; -m and Hydra's views belong to 'confrag run'"),
        (
            "corpus.path=nowhere",
            "configuration 'map': 1 error\n  corpus.path = 'nowhere': there is no such file or folder",
        ),
        ("corpus.include=['*.rtf']", "corpus.path = '{docs}': nothing to read. Looked for files that match '*.rtf'"),
        ("store_conf=mapp", "store_conf=mapp: there is no such option of store_conf; known: "),
        ("corpus.on_error=fail", "empty.txt: empty (0 bytes) (corpus.on_error=fail)"),
    ],
)
def test_mistakes(verb: str, argument: str, message: str, place: Workplace, confrag: Any) -> None:
    place.write(empty="")
    said = confrag(verb, argument)
    assert (said.code, said.out) == (2, "")
    told = said.err.splitlines() if verb == "ingest" and "fail" in argument else []
    if told:
        assert told.pop(0) == "map: nothing is stored yet; files: 4 added"
    assert "\n".join(told or [said.err]).startswith("confrag: " + message.format(verb=verb, docs=place.docs))
    if not told:
        assert place.collections() == []


def test_as_commands(place: Workplace) -> None:
    """Real processes, with what is installed: no plugin, so words and not vectors."""
    place.common = ("recall=lexical", f"corpus.path={place.docs}", f"state_dir={place.state}", "llm=extractive")

    def command(verb: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "confrag", verb, "conf=map", *place.common],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    said = command("plan")
    assert (said.code, said.err) == (3, "")
    assert said.lines[-1] == "  `MediumChunk` (3 nodes); index bm25"
    assert not place.state.exists()
    said = command("ingest")
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("map: nothing is stored yet; files: 3 added\nmap: 3 files, 3 MediumChunk; ")
