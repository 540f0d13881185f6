"""Reading a dataset: every mistake with its file and line, and the documents as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build.readers.text import read_text
from confrag.errors import UserError
from confrag.evaluate.dataset import Dataset, Document, read
from confrag.evaluate.documents import file_names, write_documents
from confrag.runtime.corpus import scan

HEADER = "query-id\tcorpus-id\tscore\n"
DOCUMENTS = [{"_id": "d1", "title": "Cranes", "text": "It lifts."}, {"_id": "d2", "text": "It opens."}]
QUERIES = [{"_id": "q1", "text": "What lifts?"}, {"_id": "q2", "text": "What opens?"}]


def write(folder: Path, corpus: Any = DOCUMENTS, queries: Any = QUERIES, **qrels: str) -> Path:
    """A dataset; of lists, each entry is a line."""
    for name, entries in (("corpus", corpus), ("queries", queries)):
        lines = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "qrels").mkdir(exist_ok=True)
    for split, text in qrels.items():
        (folder / "qrels" / f"{split}.tsv").write_text(text, "utf-8")
    return folder


def refused(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(folder, **options)
    first, *mistakes = str(caught.value).split("\n")
    assert first == f"dataset.path = '{folder}': {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    return [mistake.removeprefix("  ") for mistake in mistakes]


def test_a_dataset(tmp_path: Path) -> None:
    found = read(write(tmp_path, test=f"{HEADER}q2\td2\t2\nq2\td1\t0\n", train=f"{HEADER}q1\td1\t1\n"))
    assert [document.id for document in found.documents] == ["d1", "d2"]
    assert [(query.id, dict(query.relevant)) for query in found.queries] == [("q2", {"d2": 2, "d1": 0})]
    assert (found.name, found.split, found.language, found.judged, found.answered) == (
        tmp_path.name,
        "test",
        "en",
        True,
        False,
    )
    assert found.notes == ()
    assert [query.id for query in read(tmp_path, "train").queries] == ["q1"]


def test_answers_alone_will_do(tmp_path: Path) -> None:
    queries = [{"_id": "q1", "text": "谁打开了门？", "answers": ["他"]}, {"_id": "q2", "text": "Who?"}]
    found = read(write(tmp_path, queries=queries))
    assert [(query.id, query.answers) for query in found.queries] == [("q1", ("他",))]
    assert (found.judged, found.answered, found.language) == (False, True, "zh")
    assert found.notes == ("queries.jsonl: left out, since there is neither an answer nor a judgement: q2",)
    assert read(tmp_path, spoken="en").language == "en"


def test_what_is_empty_is_left_out_and_said(tmp_path: Path) -> None:
    corpus = [*DOCUMENTS, {"_id": "d3", "title": " ", "text": ""}]
    queries = [*QUERIES, {"_id": "q3", "text": " "}]
    found = read(write(tmp_path, corpus, queries, test=f"{HEADER}q1\td1\t1\nq3\td3\t1\n"))
    assert [query.id for query in found.queries] == ["q1"]
    assert found.notes == (
        "corpus.jsonl: no text, so that they cannot be found: d3",
        "queries.jsonl: left out, since there is no text: q3",
    )


def test_every_mistake_at_once(tmp_path: Path) -> None:
    corpus = [DOCUMENTS[0], DOCUMENTS[0], "{", {"_id": 3, "text": ""}, {"_id": "d4"}, {"_id": "d 5", "text": "x"}]
    queries = [{"_id": "q1", "text": 1}, {"_id": "q2", "text": "Who?", "answers": [1]}, "[]"]
    qrels = f"{HEADER}q1\td9\t1\nq7\td1\t1\nq1\td1\n\nq1\td1\thigh\nq2\td1\t1\nq2\td1\t1\n"
    assert refused(write(tmp_path, corpus, queries, test=qrels)) == [
        "corpus.jsonl:2: the '_id' 'd1' is taken by a line above",
        "corpus.jsonl:3: no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "corpus.jsonl:4: must be an object with an '_id' that is a text and not empty",
        "corpus.jsonl:5: 'text' is missing",
        "corpus.jsonl:6: the '_id' 'd 5' must not hold white space",
        "queries.jsonl:1: 'text' must be a text, and is 1",
        "queries.jsonl:2: 'answers' must be a list of texts, and is [1]",
        "queries.jsonl:3: must be an object with an '_id' that is a text and not empty",
        "qrels/test.tsv:2: there is no document 'd9' in corpus.jsonl",
        "qrels/test.tsv:3: there is no query 'q7' in queries.jsonl",
        "qrels/test.tsv:4: must have 3 columns, separated by tabs, and has 2",
        "qrels/test.tsv:6: the score must be a whole number, and is 'high'",
        "qrels/test.tsv:8: query 'q2' and document 'd1' were judged already, above",
    ]


def test_many_mistakes_are_not_all_listed(tmp_path: Path) -> None:
    write(tmp_path, test=HEADER + "".join(f"q{n}\td1\t1\n" for n in range(100, 130)))
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    lines = str(caught.value).split("\n")
    assert (lines[0].rpartition(": ")[2], len(lines), lines[-1]) == ("30 mistakes", 22, "  and 10 more")


def test_a_file_of_judgements_of_another_kind(tmp_path: Path) -> None:
    expected = "must be the header 'query-id corpus-id score', separated by tabs, and is 'q1 0 d1 1'"
    assert refused(write(tmp_path, test="q1 0 d1 1\n")) == [f"qrels/test.tsv:1: {expected}"]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("tset", "there is no such file; splits: test, train (dataset.split). Did you mean 'test'?"),
        ("dev", "there is no such file; splits: test, train (dataset.split)"),
    ],
)
def test_a_split_that_is_not_there(tmp_path: Path, split: str, message: str) -> None:
    write(tmp_path, test=HEADER, train=HEADER)
    assert refused(tmp_path, split=split) == [f"qrels/{split}.tsv: {message}"]


def test_nothing_to_compare_with(tmp_path: Path) -> None:
    reason = "there is no such file, and queries.jsonl has no 'answers' to compare with"
    assert refused(write(tmp_path)) == [f"qrels/test.tsv: {reason}"]


def test_files_that_are_missing_or_no_text(tmp_path: Path) -> None:
    write(tmp_path, test=HEADER)
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "queries.jsonl").write_bytes('{"_id": "é"}'.encode("latin-1"))
    assert refused(tmp_path) == [
        "corpus.jsonl: there is no such file",
        "queries.jsonl: not UTF-8 (byte 9); save the file as UTF-8",
    ]


def test_what_the_digests_depend_on(tmp_path: Path) -> None:
    def hashes(**changed: Any) -> tuple[str, str]:
        found = read(write(tmp_path, **{"test": f"{HEADER}q1\td1\t1\n", **changed}))
        return found.corpus_hash, found.hash

    first = hashes()
    # Spaces in the files, a field's place in a line, and splits that are not used say nothing.
    assert hashes(corpus=[{"text": "It lifts.", "title": "Cranes", "_id": "d1"}, DOCUMENTS[1]], train=HEADER) == first
    other = hashes(test=f"{HEADER}q1\td2\t1\n")
    assert (other[0] == first[0], other[1] == first[1]) == (True, False)
    assert hashes(corpus=[*DOCUMENTS, {"_id": "d3", "text": "x"}])[0] != first[0]


def test_documents_become_files_that_are_read_back(tmp_path: Path) -> None:
    documents = [
        Document("d1", "Cranes", "It lifts.", {"year": 1964, "tags": ["a", "b"]}),
        Document("a/b:c", "", "---\nnot: front matter\n---\nText.", {}),
        Document(".hidden", "", "文本", {}),
        Document("empty", "", "", {"year": 1}),
    ]
    names = write_documents(documents, tmp_path / "made")
    assert names == {"d1.txt": "d1", "a%2Fb%3Ac.txt": "a/b:c", "%2Ehidden.txt": ".hidden", "empty.txt": "empty"}
    found = scan([str(tmp_path / "made")], ["**/*"], [], ["txt"])
    texts = {names[file.name]: read_text(file.path)[0].text.strip() for file in found.files}
    assert texts == {"d1": "Cranes\n\nIt lifts.", "a/b:c": documents[1].text, ".hidden": "文本"}
    assert not found.skipped
    assert [json.loads(Path(f.sidecar).read_text("utf-8")) for f in found.files if f.sidecar] == [documents[0].fields]


def test_documents_are_written_once(tmp_path: Path) -> None:
    documents = [Document("d1", "", "It lifts.", {})]
    write_documents(documents, tmp_path / "made")
    before = (tmp_path / "made" / "d1.txt").stat().st_mtime_ns
    assert write_documents(documents, tmp_path / "made") == {"d1.txt": "d1"}
    assert (tmp_path / "made" / "d1.txt").stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_documents_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        write_documents([Document("d1", "", "x", {})], tmp_path / "file" / "made")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}")
    assert "cannot be written" in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_names_of_files_are_safe_and_differ(ids: list[str]) -> None:
    names = list(file_names(ids).values())
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert len(name.encode()) < 200
        assert not name.startswith((".", "~"))
        assert not set(name) & set('/\\:*?"<>|\0 ')


def test_a_dataset_is_named_by_its_folder(tmp_path: Path) -> None:
    assert Dataset(tmp_path / "cranfield", "test", (), (), True, "en", "", "").name == "cranfield"
