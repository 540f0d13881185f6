"""A dataset: questions, what is known to be right, and documents; read, checked as a whole, known by its digest.

The documents are those of ``corpus.jsonl``, in the layout of BEIR. Where there is no such file, they are those of the
configuration's corpus, and known by the names of their files: questions about documents of one's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from confrag.build.conditions import language
from confrag.errors import nearest
from confrag.evaluate.lines import Lines
from confrag.evaluate.own import Files

__all__ = ["Dataset", "Document", "Query", "has_documents", "read"]

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
_HEADER = ("query-id", "corpus-id", "score")
_OF_OWN = ("_id", "text", "answers", "files")
_EXAMPLE = '{"text": "When is it open?", "files": ["faq.md"]}'


@dataclass(frozen=True, slots=True)
class Document:
    """A document of ``corpus.jsonl``; `fields` is what it has beside its title and text."""

    id: str
    title: str
    text: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A question.

    Attributes:
        relevant: document id -> grade, as it was judged; empty: nothing was.
        answers: each of them is right.
    """

    id: str
    text: str
    relevant: Mapping[str, int]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Documents, and questions about them.

    Attributes:
        documents: in the order of the file.
        split: whose queries these are; None: all of them, since there are no ``qrels``.
        queries: those of the split that can be asked, in the order of the file.
        judged: whether it says of any query which documents are relevant.
        language: ``en`` or ``zh``.
        corpus_hash: of the documents, 16 hexadecimal digits.
        hash: of all of it, 16 hexadecimal digits.
        notes: what was left out, in words.
        own: files of the corpus that are the documents in place of `documents`; None: `documents` are.
    """

    path: Path
    split: str | None
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    judged: bool
    language: str
    corpus_hash: str
    hash: str
    notes: tuple[str, ...] = ()
    own: Files | None = None

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        return self.path.name

    @property
    def size(self) -> int:
        """How many documents there are."""
        return len(self.documents if self.own is None else self.own.digests)

    @property
    def answered(self) -> bool:
        """Whether any of its queries comes with an answer."""
        return any(query.answers for query in self.queries)


def has_documents(folder: Path) -> bool:
    """Whether a dataset brings its documents along."""
    return (folder / CORPUS).exists()


def read(
    folder: Path, split: str = "test", spoken: Literal["auto", "en", "zh"] = "auto", own: Files | None = None
) -> Dataset:
    """Read a dataset.

    Args:
        folder: with ``queries.jsonl``, ``corpus.jsonl`` unless `own` is given, and ``qrels/SPLIT.tsv``; the last may be
            absent where there are answers, or files.
        split: whose queries are taken, where there are ``qrels``.
        spoken: the language of the answers; ``auto``: the one that most of the queries are in.
        own: the files of the corpus, to be the documents; a query may then say which of them are right (``files``),
            and need not have an id.

    Raises:
        UserError: with every mistake that was found, each with its file and line.
    """
    reading = _Reading(folder, own=own)
    documents = {document.id: document for document in reading.documents()} if own is None else {}
    asked = {query.id: query for query in reading.queries()}
    qrels = reading.qrels(split, documents, asked)
    queries = tuple(_chosen(asked, qrels, reading))
    reading.finish()
    chinese = sum(language(query.text) == "zh" for query in queries)
    contents = [*documents.values()] if own is None else [[*pair] for pair in own.digests.items()]
    return Dataset(
        path=folder.absolute(),
        split=split if reading.splits() else None,
        documents=tuple(documents.values()),
        queries=queries,
        judged=qrels is not None,
        language=("zh" if 2 * chinese > len(queries) else "en") if spoken == "auto" else spoken,
        corpus_hash=_digest(contents),
        hash=_digest([*contents, *queries]),
        notes=tuple(reading.notes),
        own=own,
    )


def _digest(parts: Iterable[Any]) -> str:
    """Of what is said, not of how the files say it."""
    digest = hashlib.sha256()
    for part in parts:
        plain = part if isinstance(part, list) else [getattr(part, name) for name in part.__slots__]
        digest.update(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()[:16]


def _chosen(
    asked: Mapping[str, Query], qrels: Mapping[str, Mapping[str, int]] | None, reading: _Reading
) -> Iterator[Query]:
    """The queries of the split, with their judgements; those that cannot be asked are noted."""
    empty, unanswered = [], []
    for query in asked.values():
        if qrels is not None and query.id not in qrels:
            continue  # of another split
        if not query.text.strip():
            empty.append(query.id)
        elif qrels is None and not query.answers:
            unanswered.append(query.id)
        else:
            yield Query(query.id, query.text, (qrels or {}).get(query.id, {}), query.answers)
    reading.note(empty, f"{QUERIES}: left out, since there is no text")
    reading.note(unanswered, f"{QUERIES}: left out, since there is neither an answer nor a judgement")


@dataclass
class _Reading(Lines):
    """Goes through the files of a dataset."""

    own: Files | None = None

    def documents(self) -> Iterator[Document]:
        """The documents of the file, with or without a text."""
        empty = []
        for line, entry in self.entries(CORPUS):
            title, text = self.text(CORPUS, line, entry, "title", ""), self.text(CORPUS, line, entry, "text")
            if not (title + text).strip():
                empty.append(entry["_id"])
            others = {key: value for key, value in entry.items() if key not in ("_id", "title", "text")}
            nested = others.pop("metadata") if isinstance(others.get("metadata"), dict) else {}
            yield Document(entry["_id"], title, text, {**nested, **others})
        self.note(empty, f"{CORPUS}: no text, so that they cannot be found")

    def queries(self) -> Iterator[Query]:
        """All queries of the file, with or without a text; of documents of one's own, with the files that they name."""
        if self.own is not None:
            yield from self._about_own(self.own)
            return
        for line, entry in self.entries(QUERIES):
            answers = self.texts(QUERIES, line, entry, "answers")
            yield Query(entry["_id"], self.text(QUERIES, line, entry, "text"), {}, answers)

    def qrels(
        self, split: str, documents: Collection[str], queries: Mapping[str, Query]
    ) -> dict[str, dict[str, int]] | None:
        """Query id -> document id -> grade; None where nothing was judged."""
        name, found = f"{QRELS}/{split}.tsv", self.splits()
        if any(query.relevant for query in queries.values()):
            if found:
                self.mistakes.append(
                    f"{QUERIES} says which 'files' are right, and {QRELS}/{found[0]}.tsv does so, too; keep one of them"
                )
            return {query.id: dict(query.relevant) for query in queries.values()}
        if split not in found:
            if found:
                close = nearest(split, found)
                hint = f". Did you mean '{close}'?" if close else ""
                self.mistakes.append(f"{name}: there is no such file; splits: {', '.join(found)} (dataset.split){hint}")
            elif self.own is None and not any(query.answers for query in queries.values()):
                self.mistakes.append(f"{name}: there is no such file, and {QUERIES} has no 'answers' to compare with")
            return None
        table: dict[str, dict[str, int]] = {}
        named: list[tuple[int, str]] = []
        for number, line in self.lines(name):
            cells = tuple(line.split("\t"))
            if number == 1:
                if cells != _HEADER:
                    wanted = " ".join(_HEADER)
                    self.wrong(name, 1, f"must be the header '{wanted}', separated by tabs, and is {line!r:.60}")
                    return table
            elif len(cells) != len(_HEADER):
                self.wrong(name, number, f"must have {len(_HEADER)} columns, separated by tabs, and has {len(cells)}")
            else:
                named.append((number, cells[1]))
                self._judgement(name, number, cells, table, documents, queries)
        self._look_for(name, named)
        return table

    def splits(self) -> list[str]:
        """Names of the files of judgements."""
        return sorted(path.stem for path in (self.folder / QRELS).glob("*.tsv"))

    def _judgement(
        self,
        name: str,
        line: int,
        cells: tuple[str, ...],
        table: dict[str, dict[str, int]],
        documents: Collection[str],
        queries: Mapping[str, Query],
    ) -> None:
        query, document, score = cells
        if query not in queries:
            self.wrong(name, line, f"there is no query {query!r} in {QUERIES}")
        if self.own is not None:
            document = self.own.find(document) or document
        elif document not in documents:
            self.wrong(name, line, f"there is no document {document!r} in {CORPUS}")
        if document in table.get(query, {}):
            self.wrong(name, line, f"query {query!r} and document {document!r} were judged already, above")
        try:
            table.setdefault(query, {})[document] = int(score)
        except ValueError:
            self.wrong(name, line, f"the score must be a whole number, and is {score!r}")

    def _about_own(self, own: Files) -> Iterator[Query]:
        named: list[tuple[int, str]] = []
        judged = bool(self.splits())
        for line, entry in self.entries(QUERIES, _EXAMPLE):
            before = len(self.mistakes)
            for key in entry.keys() - {*_OF_OWN}:
                if close := nearest(key, _OF_OWN):
                    self.wrong(QUERIES, line, f"there is no '{key}' here. Did you mean '{close}'?")
            files, answers = (self.texts(QUERIES, line, entry, key) for key in ("files", "answers"))
            named += [(line, file) for file in files]
            text = self.text(QUERIES, line, entry, "text")
            if isinstance(entry.get("text"), str) and not text.strip():
                self.wrong(QUERIES, line, "'text' is empty")
            if not (files or answers or judged or len(self.mistakes) > before):
                self.wrong(QUERIES, line, "neither 'files' nor 'answers': nothing to compare with; give one of them")
            yield Query(entry["_id"], text, {own.find(file) or file: 1 for file in files}, answers)
        self._look_for(QUERIES, named)

    def _look_for(self, name: str, named: list[tuple[int, str]]) -> None:
        """Note which files the corpus does not have."""
        own = self.own
        if own is None:
            return
        unknown = [(line, file) for line, file in named if own.find(file) is None]
        different = {file for _, file in unknown}
        if len(different) > 1 and len(unknown) == len(named) and not any(map(own.close, different)):
            # One mistake, and not so many: it is the wrong corpus.
            self.mistakes.append(f"{name}: {own.none_of(len(different))}")
            return
        for line, file in unknown:
            self.wrong(name, line, own.unknown(file))
