"""Questions about documents of one's own: read, and every mistake with its place and the way out."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from confrag.errors import UserError
from confrag.evaluate.dataset import has_documents, read
from confrag.evaluate.own import Files

NAMES = ("faq.md", "guides/dogs.md", "guides/opening hours.txt", "prices.csv")
FILES = Files(
    {name: f"digest of {name}" for name in NAMES}, {"logo.png": "no reader for the extension 'png'"}, ("docs",)
)
LIKE = '{"text": "When is it open?", "files": ["faq.md"]}'


def asking(folder: Path, *entries: Any, **qrels: str) -> Path:
    """A folder with questions; each entry is a line."""
    lines = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries]
    (folder / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    for split, rows in qrels.items():
        (folder / "qrels").mkdir(exist_ok=True)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")
    return folder


def refused(folder: Path, files: Files = FILES) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(folder, own=files)
    first, *mistakes = str(caught.value).split("\n")
    assert first == f"dataset.path = '{folder}': {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    return [mistake.removeprefix("  ") for mistake in mistakes]


def test_files_and_answers(tmp_path: Path) -> None:
    found = read(
        asking(
            tmp_path,
            {"text": "When?", "files": ["faq.md", "guides/opening hours.txt"], "answers": ["at ten"]},
            "",
            {"_id": "dogs", "text": "Dogs?", "files": "guides/dogs.md", "author": "Ada"},
            {"text": "Who?", "answers": "Ines"},
        ),
        own=FILES,
    )
    assert not has_documents(tmp_path)
    assert [(query.id, dict(query.relevant), query.answers) for query in found.queries] == [
        ("1", {"faq.md": 1, "guides/opening hours.txt": 1}, ("at ten",)),
        ("dogs", {"guides/dogs.md": 1}, ()),
        ("4", {}, ("Ines",)),
    ]
    assert (found.size, found.split, found.judged, found.answered, found.documents) == (4, None, True, True, ())


def test_judgements_in_a_file_of_their_own(tmp_path: Path) -> None:
    rows = "1\tfaq.md\t2\n1\tprices.csv\t0\n"
    found = read(asking(tmp_path, {"text": "When?"}, {"text": "Of another split?"}, test=rows), own=FILES)
    assert [(query.id, dict(query.relevant)) for query in found.queries] == [("1", {"faq.md": 2, "prices.csv": 0})]
    assert found.split == "test"


def test_a_name_in_another_unicode_form_or_with_a_dot_is_the_same_file(tmp_path: Path) -> None:
    spelled = unicodedata.normalize("NFD", "café.md")
    files = Files({spelled: "x", "faq.md": "y"}, {}, ("docs",))
    found = read(asking(tmp_path, {"text": "Where?", "files": ["café.md", "./faq.md"]}), own=files)
    assert dict(found.queries[0].relevant) == {spelled: 1, "faq.md": 1}


def test_what_the_digests_depend_on(tmp_path: Path) -> None:
    def hashes(corpus: Files = FILES, **changed: Any) -> tuple[str, str]:
        found = read(asking(tmp_path, {"text": "When?", "files": ["faq.md"], **changed}), own=corpus)
        return found.corpus_hash, found.hash

    first = hashes()
    assert hashes(author="Ada") == first
    judged = hashes(files=["prices.csv"])
    assert (judged[0] == first[0], judged[1] == first[1]) == (True, False)
    other = Files({**FILES.digests, "faq.md": "written anew"}, {}, ("docs",))
    assert {value in first for value in hashes(other)} == {False}
    # Where they lie says nothing, as long as they are the same.
    assert hashes(Files(FILES.digests, {}, ("elsewhere",))) == first


def test_every_mistake_at_once(tmp_path: Path) -> None:
    asking(
        tmp_path,
        {"text": "When?", "files": ["fqa.md", "faq.md"]},
        {"text": "Dogs?", "files": ["docs/guides/dogs.md"]},
        {"text": "Dogs?", "files": ["dogs.md"]},
        {"text": "Logo?", "files": ["logo.png"]},
        {"text": "Cost?", "files": ["zebra.xyz"]},
        {"text": "Nothing?"},
        {"files": ["faq.md"]},
        {"text": " ", "files": ["faq.md"]},
        {"text": "Typed wrong?", "file": ["faq.md"]},
        {"text": "Of numbers?", "files": [1]},
        {"_id": "3", "text": "Twice?", "files": ["faq.md"]},
        "When is it open?",
        '"When is it open?"',
    )
    assert refused(tmp_path) == [
        "queries.jsonl:6: neither 'files' nor 'answers': nothing to compare with; give one of them",
        "queries.jsonl:7: 'text' is missing",
        "queries.jsonl:8: 'text' is empty",
        "queries.jsonl:9: there is no 'file' here. Did you mean 'files'?",
        "queries.jsonl:10: 'files' must be a list of texts, and is [1]",
        "queries.jsonl:11: the '_id' '3' is taken by a line above",
        "queries.jsonl:12: no JSON: Expecting value: line 1 column 1 (char 0)",
        f"queries.jsonl:13: must be an object like {LIKE}",
        "queries.jsonl:1: there is no file 'fqa.md' in the corpus (corpus.path: docs). Did you mean 'faq.md'?",
        "queries.jsonl:2: there is no file 'docs/guides/dogs.md' in the corpus (corpus.path: docs). Did you mean "
        "'guides/dogs.md'?",
        "queries.jsonl:3: there is no file 'dogs.md' in the corpus (corpus.path: docs). Did you mean 'guides/dogs.md'?",
        "queries.jsonl:4: the file 'logo.png' is not read: no reader for the extension 'png'",
        "queries.jsonl:5: there is no file 'zebra.xyz' in the corpus (corpus.path: docs)",
    ]


@pytest.mark.parametrize("named", ["queries", "qrels"])
def test_another_corpus_is_one_mistake(tmp_path: Path, named: str) -> None:
    files = ["zebra/1.xyz", "zebra/2.xyz"]
    if named == "queries":
        asking(tmp_path, *({"text": "What?", "files": [file]} for file in files))
        place = "queries.jsonl"
    else:
        asking(tmp_path, {"text": "What?"}, test="".join(f"1\t{file}\t1\n" for file in files))
        place = "qrels/test.tsv"
    assert refused(tmp_path) == [
        f"{place}: none of the 2 files that it names is in the corpus (corpus.path: docs; there: 'faq.md', "
        "'guides/dogs.md', 'guides/opening hours.txt', ...); set the folder that the questions are about with "
        "corpus.path=DIR"
    ]


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        ([], f"there is nothing in it; write a line for each question, like {LIKE}"),
        (
            ["[", '  {"text": "When?", "files": ["faq.md"]}', "]"],
            "1: a list; write each object on a line of its own, without one around them",
        ),
    ],
    ids=["empty", "a list"],
)
def test_no_lines_of_objects(tmp_path: Path, lines: list[str], mistake: str) -> None:
    separator = ":" if mistake[0].isdigit() else ": "
    assert refused(asking(tmp_path, *lines)) == [f"queries.jsonl{separator}{mistake}"]


def test_judged_in_two_places(tmp_path: Path) -> None:
    asking(tmp_path, {"text": "When?", "files": ["faq.md"]}, test="1\tfaq.md\t1\n")
    assert refused(tmp_path) == [
        "queries.jsonl says which 'files' are right, and qrels/test.tsv does so, too; keep one of them"
    ]
