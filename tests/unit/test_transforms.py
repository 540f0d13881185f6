"""How texts are cut into chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build import prepare

prepare()

from confrag.build.transforms.sized import Sized, markdown, recursive, sentence_splitter  # noqa: E402
from confrag.build.transforms.split import split  # noqa: E402

SENTENCES = [f"Sentence {number} speaks of item {number}." for number in range(60)]
MAKERS = [sentence_splitter, recursive, markdown]


def size(text: str) -> int:
    return len(tiktoken.get_encoding("gpt2").encode_ordinary(text))


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def sized(request: pytest.FixtureRequest) -> Sized:
    made = request.param(chunk_size=40, chunk_overlap=8)
    assert isinstance(made, Sized)
    return made


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet="abc .,!?\n中文。，；é<|>endoftext", max_size=800))
def test_no_text_is_lost_or_invented(text: str) -> None:
    for maker in MAKERS:
        chunks = maker(chunk_size=20, chunk_overlap=0).chunks(text)
        assert "".join("".join(chunks).split()) == "".join(text.split())


def test_chunks_keep_to_their_size(sized: Sized) -> None:
    chunks = sized.chunks(" ".join(SENTENCES) + "\n\n" + "x" * 500 + "词" * 300)
    assert len(chunks) > 5
    assert max(map(size, chunks)) <= 40 + 8


def test_white_space_between_sentences_stays() -> None:
    chunks = sentence_splitter(chunk_size=40, chunk_overlap=0).chunks(" ".join(SENTENCES))
    assert " ".join(chunks) == " ".join(SENTENCES)
    assert all(chunk.endswith(".") and chunk.startswith("Sentence") for chunk in chunks)


def test_neighbours_share_whole_sentences() -> None:
    chunks = sentence_splitter(chunk_size=40, chunk_overlap=12).chunks(" ".join(SENTENCES))
    for before, after in pairwise(chunks):
        assert before.split(". ")[-1].rstrip(".") == after.split(". ")[0].rstrip(".")


def test_chinese_is_cut_at_its_full_stops() -> None:
    text = "".join(f"第{number}条规定了若干事项。" for number in range(30))
    chunks = sentence_splitter(chunk_size=60, chunk_overlap=0).chunks(text)
    assert "".join(chunks) == text
    assert len(chunks) > 5
    assert all(chunk.endswith("。") for chunk in chunks)


def test_a_special_token_is_text(sized: Sized) -> None:
    assert sized.chunks("before <|endoftext|> after") == ["before <|endoftext|> after"]


def test_recursive_prefers_paragraphs() -> None:
    paragraphs = ["One two three four five six seven.", "Eight nine ten eleven.", "Twelve thirteen fourteen fifteen."]
    chunks = recursive(chunk_size=9, chunk_overlap=0).chunks("\n\n".join(paragraphs))
    assert chunks == paragraphs


def test_markdown_sections_start_at_their_headings_and_code_is_no_heading() -> None:
    text = "# Tea\n\nGreen.\n\n## Hot\n\n```\n# no heading\n```\n\nBlack.\n"
    assert markdown(chunk_size=100, chunk_overlap=0).chunks(text) == [
        "# Tea\n\nGreen.",
        "## Hot\n\n```\n# no heading\n```\n\nBlack.",
    ]


@pytest.mark.parametrize(
    ("separator", "regex", "keep", "text", "pieces"),
    [
        ("。", False, False, "甲。乙。", ["甲", "乙"]),
        ("。", False, True, "甲。乙。丙", ["甲。", "乙。", "丙"]),
        (r"(?<=[.!?])\s+|\n+", True, False, "One. Two!\nThree ...\n---\n", ["One.", "Two!", "Three ..."]),
        ("a.b", False, False, "1a.b2axb3", ["1", "2axb3"]),
        ("x", False, False, "", []),
    ],
)
def test_split(separator: str, regex: bool, keep: bool, text: str, pieces: list[str]) -> None:
    assert split(separator=separator, regex=regex, keep_separator=keep).pieces(text) == pieces
