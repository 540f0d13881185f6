"""A dataset in the layout of BEIR: read, checked as a whole, and known by the digest of its contents."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from confrag.build.conditions import language
from confrag.errors import UserError, nearest

__all__ = ["Dataset", "Document", "Query", "read"]

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
_HEADER = ("query-id", "corpus-id", "score")
_SHOWN = 20
"""Mistakes that are listed."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the corpus; `fields` is what it has beside its title and text."""

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
        queries: those of the split that can be asked, in the order of the file.
        judged: whether it says which documents are relevant.
        language: ``en`` or ``zh``.
        corpus_hash: of the documents, 16 hexadecimal digits.
        hash: of all of it, 16 hexadecimal digits.
        notes: what was left out, in words.
    """

    path: Path
    split: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    judged: bool
    language: str
    corpus_hash: str
    hash: str
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        return self.path.name

    @property
    def answered(self) -> bool:
        """Whether any of its queries comes with an answer."""
        return any(query.answers for query in self.queries)


def read(folder: Path, split: str = "test", spoken: Literal["auto", "en", "zh"] = "auto") -> Dataset:
    """Read a dataset.

    Args:
        folder: with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``; the last may be absent where there are
            answers.
        split: whose queries are taken.
        spoken: the language of the answers; ``auto``: the one that most of the queries are in.

    Raises:
        UserError: with every mistake that was found, each with its file and line.
    """
    reading = _Reading(folder)
    documents = {document.id: document for document in reading.documents()}
    asked = {query.id: query for query in reading.queries()}
    qrels = reading.qrels(split, documents, asked)
    queries = tuple(_chosen(asked, qrels, reading))
    reading.finish()
    chinese = sum(language(query.text) == "zh" for query in queries)
    return Dataset(
        path=folder.absolute(),
        split=split,
        documents=tuple(documents.values()),
        queries=queries,
        judged=qrels is not None,
        language=("zh" if 2 * chinese > len(queries) else "en") if spoken == "auto" else spoken,
        corpus_hash=_digest(documents.values()),
        hash=_digest([*documents.values(), *queries]),
        notes=tuple(reading.notes),
    )


def _digest(parts: Any) -> str:
    """Of what is said, not of how the files say it."""
    digest = hashlib.sha256()
    for part in parts:
        plain = [getattr(part, name) for name in part.__slots__]
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
class _Reading:
    """Goes through the files of a folder, and collects what is wrong with them."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    _mistakes: list[str] = field(default_factory=list)

    def documents(self) -> Iterator[Document]:
        """The documents that have a text or a title."""
        empty = []
        for line, entry in self._entries(CORPUS):
            title, text = self._text(CORPUS, line, entry, "title", ""), self._text(CORPUS, line, entry, "text")
            if not (title + text).strip():
                empty.append(entry["_id"])
            others = {key: value for key, value in entry.items() if key not in ("_id", "title", "text")}
            nested = others.pop("metadata") if isinstance(others.get("metadata"), dict) else {}
            yield Document(entry["_id"], title, text, {**nested, **others})
        self.note(empty, f"{CORPUS}: no text, so that they cannot be found")

    def queries(self) -> Iterator[Query]:
        """All queries of the file, with or without a text."""
        for line, entry in self._entries(QUERIES):
            answers = entry.get("answers", [])
            answers = [answers] if isinstance(answers, str) else answers
            if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
                self._wrong(QUERIES, line, f"'answers' must be a list of texts, and is {answers!r:.60}")
                answers = []
            given = tuple(answer for answer in answers if answer.strip())
            yield Query(entry["_id"], self._text(QUERIES, line, entry, "text"), {}, given)

    def qrels(
        self, split: str, documents: Mapping[str, Document], queries: Mapping[str, Query]
    ) -> dict[str, dict[str, int]] | None:
        """Query id -> document id -> grade; None where nothing was judged."""
        name, found = f"{QRELS}/{split}.tsv", sorted(path.stem for path in (self.folder / QRELS).glob("*.tsv"))
        if split not in found:
            if found:
                close = nearest(split, found)
                hint = f". Did you mean '{close}'?" if close else ""
                self._mistakes.append(
                    f"{name}: there is no such file; splits: {', '.join(found)} (dataset.split){hint}"
                )
            elif not any(query.answers for query in queries.values()):
                self._mistakes.append(f"{name}: there is no such file, and {QUERIES} has no 'answers' to compare with")
            return None
        table: dict[str, dict[str, int]] = {}
        for number, line in self._lines(name):
            cells = tuple(line.split("\t"))
            if number == 1:
                if cells != _HEADER:
                    wanted = " ".join(_HEADER)
                    self._wrong(name, 1, f"must be the header '{wanted}', separated by tabs, and is {line!r:.60}")
                    return table
            elif len(cells) != len(_HEADER):
                self._wrong(name, number, f"must have {len(_HEADER)} columns, separated by tabs, and has {len(cells)}")
            else:
                self._judgement(name, number, cells, table, documents, queries)
        return table

    def _judgement(
        self,
        name: str,
        line: int,
        cells: tuple[str, ...],
        table: dict[str, dict[str, int]],
        documents: Mapping[str, Document],
        queries: Mapping[str, Query],
    ) -> None:
        query, document, score = cells
        if query not in queries:
            self._wrong(name, line, f"there is no query {query!r} in {QUERIES}")
        if document not in documents:
            self._wrong(name, line, f"there is no document {document!r} in {CORPUS}")
        if document in table.get(query, {}):
            self._wrong(name, line, f"query {query!r} and document {document!r} were judged already, above")
        try:
            table.setdefault(query, {})[document] = int(score)
        except ValueError:
            self._wrong(name, line, f"the score must be a whole number, and is {score!r}")

    def note(self, ids: list[str], what: str) -> None:
        """Remember something that is no mistake, of these documents or queries."""
        if ids:
            more = f" and {len(ids) - 5:,} more" if len(ids) > 5 else ""
            self.notes.append(f"{what}: {', '.join(ids[:5])}{more}")

    def finish(self) -> None:
        """Raises UserError when anything was wrong."""
        if self._mistakes:
            count = "1 mistake" if len(self._mistakes) == 1 else f"{len(self._mistakes):,} mistakes"
            more = len(self._mistakes) - _SHOWN
            listed = [*self._mistakes[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            raise UserError("\n".join([f"dataset.path = '{self.folder}': {count}", *(f"  {m}" for m in listed)]))

    def _entries(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and object of each line of a file that is one with an id of its own."""
        seen: Counter[str] = Counter()
        for number, line in self._lines(name):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._wrong(name, number, f"no JSON: {error}")
                continue
            identity = entry.get("_id") if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(identity, str) or not identity.strip():
                self._wrong(name, number, "must be an object with an '_id' that is a text and not empty")
                continue
            if any(character.isspace() for character in identity):
                # The columns of a run file are parted by white space.
                self._wrong(name, number, f"the '_id' {identity!r} must not hold white space")
            seen[identity] += 1
            if seen[identity] > 1:
                self._wrong(name, number, f"the '_id' {identity!r} is taken by a line above")
                continue
            yield number, entry
        if not seen and not self._mistakes:
            self._mistakes.append(f"{name}: there is nothing in it")

    def _lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Number and text of the lines of a file that are not empty."""
        try:
            # Not splitlines(), which would cut at U+2028 and the like, too.
            with (self.folder / name).open(encoding="utf-8-sig", newline="\n") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield number, line.rstrip("\r\n")
        except FileNotFoundError:
            self._mistakes.append(f"{name}: there is no such file")
        except UnicodeDecodeError as error:
            self._mistakes.append(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8")
        except OSError as error:
            self._mistakes.append(f"{name}: cannot be read: {error.strerror}")

    def _text(self, name: str, line: int, entry: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = entry.get(key, default)
        if not isinstance(value, str):
            problem = f"'{key}' is missing" if value is None else f"'{key}' must be a text, and is {value!r:.60}"
            self._wrong(name, line, problem)
            return ""
        return value

    def _wrong(self, name: str, line: int, problem: str) -> None:
        self._mistakes.append(f"{name}:{line}: {problem}")
