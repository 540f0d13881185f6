"""Encodings, cleaning, and the undoing of page layout."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build.readers.clean import clean
from confrag.build.readers.layout import BROKEN_WORD, rejoin_words, unwrap
from confrag.build.readers.text import decode

SIMPLIFIED = "成人单程票价为十二元，儿童半价；末班船从北港开出。乘客须在开船前十分钟到达码头。"
TRADITIONAL = "成人單程票價為十二元，兒童半價；末班船從北港開出。乘客須在開船前十分鐘到達碼頭。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café déjà vu naïve", "latin-1"),
        ("“Smart quotes” – the ferry’s café", "cp1252"),
        ("Паром отправляется каждый час из северной гавани, билеты у капитана.", "cp1251"),
        ("湖のフェリーは三十分ごとに出発します。大人の運賃は千二百円です。", "shift_jis"),
        ("北港码头", "gbk"),
        ("北港碼頭", "big5"),
        ("Plain English with 码头 in it. " * 30, "gbk"),
        ("The ferry leaves. " * 30, "utf-16-le"),
        ("The ferry leaves. " * 30, "utf-16-be"),
        ("四字节：𠮷𡈽", "gb18030"),
    ],
)
def test_decode_tells_encodings(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@given(st.permutations(SIMPLIFIED + "abc 12\n").map("".join))
def test_decode_simplified_chinese(text: str) -> None:
    assert decode(text.encode("gb18030")) == text


@given(st.permutations(TRADITIONAL + "abc 12\n").map("".join))
def test_decode_traditional_chinese(text: str) -> None:
    assert decode(text.encode("big5")) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff")))
def test_decode_utf8(text: str) -> None:
    assert decode(text.encode()) == text


def test_decode_utf8_with_a_bad_byte() -> None:
    data = bytearray((SIMPLIFIED * 3).encode())
    data[40] = 0xFF
    text = decode(bytes(data))
    assert text is not None
    assert text.endswith(SIMPLIFIED * 2)


def test_decode_prefers_the_declared_encoding_to_a_guess() -> None:
    data = "Zażółć gęślą jaźń".encode("iso-8859-2")
    assert decode(data, "iso-8859-2") == "Zażółć gęślą jaźń"
    assert decode("码头".encode(), "no-such-encoding") == "码头"


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00\xd8\x00", b"text \x01\x02 \xff", b"\x7fELF\x02\x01\x01\x00\x00\x00\x00"]
)
def test_decode_refuses_what_is_not_text(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a\0b\x07c\ufeffd\u200be\ud800f\x85g", "abcdef\ng"),
        ("repre\xad\n  sentation of co\xadoperation", "representation of cooperation"),
        ("a\xa0b\u2009c\u3000d", "a b c\u3000d"),
        ("one\r\ntwo\rthree\x0cfour\u2028five", "one\ntwo\nthree\nfour\nfive"),
        ("a  \n\t\n \n\nb\u3000\n", "a\n\nb"),
        ("\u3000\u3000第一条\n\u3000\u3000第二条", "第一条\n第二条"),
        ("if x:\n    y", "if x:\n    y"),
        ("cafe\u0301 ＡＢＣ 👩\u200d🚀", "café ＡＢＣ 👩\u200d🚀"),
    ],
)
def test_clean(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


@given(st.text(st.characters(codec=None)))
def test_clean_text_can_be_stored_and_stays_clean(text: str) -> None:
    once = clean(text)
    assert once.encode().decode() == once
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not set(once) & set("\0\r\ufeff\xad")


def test_rejoin_words() -> None:
    pages = [
        f"chunk{BROKEN_WORD}based and representa{BROKEN_WORD}tions and well{BROKEN_WORD}known",
        f"a chunk based on text, a well-known ferry, Wind{BROKEN_WORD}mills, windmills, a wind, mills",
        f"2019{BROKEN_WORD}20",
    ]
    assert rejoin_words(pages) == [
        "chunk-based and representations and well-known",
        "a chunk based on text, a well-known ferry, Windmills, windmills, a wind, mills",
        "2019-20",
    ]


CHINESE_LINE = "本规则所称现场开户，是指证券公司在营业场所柜台，通过适当的方式或信息"
LATIN_LINE = "a line of the text that is as wide as the lines of this page are on the whole and"


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        ([CHINESE_LINE, "技术手段验证。"], f"{CHINESE_LINE}技术手段验证。"),
        ([f"{CHINESE_LINE} ", "  20 号通知"], f"{CHINESE_LINE}20 号通知"),
        ([f"{CHINESE_LINE}。", "客户应当"], f"{CHINESE_LINE}。\n客户应当"),
        ([CHINESE_LINE, "第二条 客户"], f"{CHINESE_LINE}\n第二条 客户"),
        ([CHINESE_LINE, "（二）客户"], f"{CHINESE_LINE}\n（二）客户"),
        (["第一章 总则", CHINESE_LINE], f"第一章 总则\n{CHINESE_LINE}"),
        ([LATIN_LINE, "it goes on"], f"{LATIN_LINE} it goes on"),
        ([LATIN_LINE, "5,000 crowns"], f"{LATIN_LINE} 5,000 crowns"),
        ([LATIN_LINE, "17"], f"{LATIN_LINE}\n17"),
        ([LATIN_LINE, "Heading"], f"{LATIN_LINE}\nHeading"),
        ([LATIN_LINE, "• a point"], f"{LATIN_LINE}\n• a point"),
        ([LATIN_LINE, "", "after a gap"], f"{LATIN_LINE}\n\nafter a gap"),
        (["short", LATIN_LINE], f"short\n{LATIN_LINE}"),
        (["Zirui Guo1", ", Chao Huang2", "结束", "。"], "Zirui Guo1, Chao Huang2\n结束。"),
        (["ﬁnal ⼀⽤"], "final 一用"),
        ([], ""),
    ],
)
def test_unwrap(lines: list[str], joined: str) -> None:
    assert unwrap("\r\n".join(lines)) == joined
