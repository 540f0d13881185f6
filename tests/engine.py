"""An engine that is cheap to start, and what it has stored: read from its files by the stores' own clients."""

from __future__ import annotations

import re
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np

import confrag
from confrag.build import prepare
from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.config import Composed, compose, validate
from confrag.plan import compile_plan
from confrag.registry import FAMILIES, rebuild
from confrag.runtime.results import CorpusReport
from confrag.schema.models import ModelSpec

prepare()

Found = list[tuple[str, float]]
"""Ids and scores of hits."""
STORES = ("map", "chroma", "milvus_flat", "milvus_hnsw", "map_milvus_index")

_ANYWHERE = "/the/workplace"
_COMPOSED: dict[tuple[str, ...], Composed] = {}


class HashedSpec(ModelSpec):
    """A bag of hashed words."""

    role: Literal["embed"]
    kind: Literal["hashed"]
    dim: int = 128
    salt: str = ""


class Hashed:
    """Embeds a text as the counts of its words, hashed to `dim` components, of unit length.

    A little of the text's own is added, so that no two texts are equally near to a question.

    Attributes:
        asked: every text that any of them embedded.
    """

    asked: ClassVar[list[str]] = []

    def __init__(self, dim: int, salt: str) -> None:
        self.dim = dim
        self._salt = salt

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        self.asked += texts
        return np.stack([self.query(text) for text in texts])

    def query(self, text: str) -> Vectors:
        own = np.random.default_rng(zlib.crc32(f"{self._salt}{text}".encode()))
        vector = own.normal(scale=0.02, size=self.dim).astype(np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(f"{self._salt}{word}".encode()) % self.dim] += 1
        return vector / np.linalg.norm(vector)

    def close(self) -> None:
        pass


def build_hashed(*, role: str, dim: int, salt: str, progress: ProgressFn) -> Hashed:
    return Hashed(dim, salt)


@contextmanager
def hashed_registered() -> Iterator[None]:
    """The kind ``hashed`` of a model, as a plugin would add it, for as long as this lasts."""
    family = FAMILIES["models"]
    kinds = dict(family._kinds)
    confrag.register("models", "hashed", HashedSpec, build_hashed)
    try:
        yield
    finally:
        family._kinds.clear()
        family._kinds.update(kinds)
        rebuild()


class ShallowApp(confrag.App):
    """An engine that starts in a thread of its own.

    LazyLLM inspects every frame of the stack whenever a part of a flow is made: a test runner's fifty take a hundred
    times as long as the start itself.
    """

    def start(self, *args: Any, **kwargs: Any) -> confrag.App:
        return _apart(super().start, *args, **kwargs)

    def plan(self, *args: Any, **kwargs: Any) -> Any:
        return _apart(super().plan, *args, **kwargs)

    def ingest(self, *args: Any, **kwargs: Any) -> CorpusReport:
        return _apart(super().ingest, *args, **kwargs)


def _apart(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *args, **kwargs).result()


@dataclass
class Workplace:
    """A folder with a corpus, a state and a folder of configurations.

    Attributes:
        common: overrides of every engine.
    """

    root: Path
    common: tuple[str, ...] = ()
    docs: Path = field(init=False)

    def __post_init__(self) -> None:
        self.docs = self.root / "docs"
        self.docs.mkdir(parents=True, exist_ok=True)
        option = self.config_dir / "embed" / "hashed.yaml"
        option.parent.mkdir(parents=True, exist_ok=True)
        option.write_text("# @package models.embed\n# Hashed words.\nrole: embed\nkind: hashed\n")

    @property
    def config_dir(self) -> Path:
        return self.root / "own"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def overrides(self, *more: str) -> list[str]:
        own = (f"corpus.path='{self.docs}'", f"state_dir='{self.state}'", "llm=extractive", "embed=hashed")
        return [*own, *self.common, *more]

    def load(self, preset: str, *more: str, state: Path | None = None) -> confrag.App:
        """An engine.

        Hydra takes a tenth of a second to compose a configuration; of those that differ in the workplace alone, it
        composes one.
        """
        overrides = self.overrides(f"conf={preset}", *more)
        key = tuple(self._moved(overrides, str(self.root), _ANYWHERE))
        if key not in _COMPOSED:
            composed = compose(overrides, self.config_dir)
            _COMPOSED[key] = replace(composed, data=self._moved(composed.data, str(self.root), _ANYWHERE))
        data = self._moved(_COMPOSED[key].data, _ANYWHERE, str(self.root))
        composed = replace(_COMPOSED[key], data=data, overrides=tuple(overrides), config_dir=self.config_dir)
        plan = compile_plan(validate(composed), preset)
        return ShallowApp(replace(plan, state_dir=str(state)) if state else plan)

    def _moved(self, value: Any, old: str, new: str) -> Any:
        """Plain data with another place in its texts."""
        if isinstance(value, dict):
            return {key: self._moved(child, old, new) for key, child in value.items()}
        if isinstance(value, list):
            return [self._moved(child, old, new) for child in value]
        return value.replace(old, new) if isinstance(value, str) else value

    def write(self, **texts: str) -> None:
        """Write ``name.txt`` for each name; ``a__b`` lies in the folder ``a``."""
        for name, text in texts.items():
            path = self.docs / f"{name.replace('__', '/')}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def twin(self, preset: str, *more: str, questions: Sequence[str]) -> tuple[Rows, list[Found], CorpusReport]:
        """Rows, answers and report of the same configuration, built from nothing."""
        state = self.root / "twin"
        shutil.rmtree(state, ignore_errors=True)
        with self.load(preset, *more, state=state) as app:
            found, report = answers(app, questions), app.corpus
        return stored(state), found, report

    def collections(self) -> list[Path]:
        return sorted(path.parent for path in (self.state / "collections").glob("*/manifest.sqlite3"))


@dataclass(frozen=True)
class Rows:
    """What lies in a store.

    Attributes:
        texts: (group, uid) -> document, parent, number, text and metadata.
        vectors: (group and embedding, uid) -> the vector, rounded.
    """

    texts: dict[tuple[str, str], tuple[Any, ...]]
    vectors: dict[tuple[str, str], tuple[float, ...]]

    def differences(self, other: Rows) -> list[str]:
        """One line for each row that differs; empty when all are equal."""
        found = []
        for kind in ("texts", "vectors"):
            ours, theirs = getattr(self, kind), getattr(other, kind)
            for key in sorted(ours.keys() | theirs.keys()):
                if ours.get(key) != theirs.get(key):
                    found.append(f"{kind} {key}: {ours.get(key)} != {theirs.get(key)}")
        return found


def stored(*folders: Path) -> Rows:
    """The rows below some folders; no engine may have them open."""
    rows = Rows({}, {})
    for folder in folders:
        for path in sorted([folder, *folder.rglob("*")] if folder.is_dir() else [folder]):
            if path.suffix == ".db" and path.is_file():
                _read_sqlite(path, rows)
            elif path.name == "chroma.sqlite3":
                _read_chroma(path.parent, rows)
            elif (path / "collections").is_dir() and (path / "LOCK").exists():
                _read_milvus(path, rows)
    return rows


def _read_sqlite(path: Path, rows: Rows) -> None:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT collection, uid, doc_id, parent, number, content, rest FROM segments"
        for group, uid, *rest in database.execute(query):
            rows.texts[group, uid] = tuple(rest)
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'vectors'").fetchone():
            for group, key, uid, vector in database.execute("SELECT * FROM vectors"):
                rows.vectors[f"{group}/{key}", uid] = _rounded(np.frombuffer(vector, np.float32))


def _read_chroma(folder: Path, rows: Rows) -> None:
    # Of a copy: Chroma may write the files of an index again only because somebody looks at it.
    with TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        _read_copy(copy, rows)


def _read_copy(folder: str, rows: Rows) -> None:
    import chromadb

    with closing(chromadb.PersistentClient(folder, settings=chromadb.Settings(anonymized_telemetry=False))) as c:
        for collection in c.list_collections():
            held = collection.get(include=["embeddings"])
            for uid, vector in zip(held["ids"], held["embeddings"], strict=True):
                rows.vectors[collection.name, uid] = _rounded(vector)


def _read_milvus(folder: Path, rows: Rows) -> None:
    from pymilvus import MilvusClient

    from confrag.build.stores.milvus_server import LocalServer

    server = LocalServer.acquire(str(folder))
    try:
        with closing(MilvusClient(server.uri, dedicated=True)) as client:
            for name in client.list_collections():
                client.load_collection(name)
                fields = [f["name"] for f in client.describe_collection(name)["fields"] if "dim" in f["params"]]
                for row in client.query(name, filter="", limit=16384, output_fields=["uid", *fields]):
                    for key in fields:
                        rows.vectors[f"{name}/{key}", row["uid"]] = _rounded(row[key])
    finally:
        server.release()


def _rounded(vector: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(component), 4) for component in vector)


def answers(app: confrag.App, questions: Sequence[str]) -> list[Found]:
    """For each question the hits in their order."""
    return [[(hit.id, round(hit.score or 0.0, 3)) for hit in app.retrieve(question)] for question in questions]
