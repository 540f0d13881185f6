"""Every format that can be read, and every way in which a file cannot."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docx
import openpyxl
import pptx
import pypdf
import pytest
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from confrag.build.readers import Section, UnreadableFileError, read
from confrag.errors import UserError
from confrag.registry.readers import EXTENSIONS, READERS

SAMPLE_CORPUS = Path(__file__).parents[2] / "examples" / "corpus"
CHINESE = "镜湖渡轮的成人单程票价为十二元，儿童半价；末班船二十一点四十分从北港开出。"


def text_of(path: Path) -> str:
    return "\n\n".join(section.text for section in read(path))


def reason(path: Path) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read(path)
    assert caught.value.path == path
    assert str(caught.value) == f"cannot read '{path}': {caught.value.reason}"
    return caught.value.reason


def pdf_bytes(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF in which every string is a line: in Helvetica, or in a Chinese font that is not embedded."""

    def show(line: str) -> str:
        if line.isascii():
            escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            return f"/Latin 11 Tf ({escaped}) Tj"
        return f"/Chinese 11 Tf <{line.encode('utf-16-be').hex()}> Tj"

    fonts = (
        "<< /Latin << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> /Chinese << /Type /Font /Subtype /Type0 "
        "/BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 "
        "/BaseFont /STSong-Light /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 0 >> /DW 1000 "
        "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [0 -200 1000 900] "
        "/ItalicAngle 0 /Ascent 800 /Descent -200 /CapHeight 800 /StemV 80 >> >>] >> >>"
    )
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for index, lines in enumerate(pages):
        content = "BT 72 720 Td " + " 0 -16 Td ".join(show(line) for line in lines) + " ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {4 + 2 * index} 0 R "
            f"/Resources << /Font {fonts} >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return bytes(out) + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def ole_bytes(stream: str) -> bytes:
    """A compound file (the container of old and of encrypted Office files) with one empty stream."""
    free, end = 0xFFFFFFFF, 0xFFFFFFFE
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII109I",
        bytes.fromhex("d0cf11e0a1b11ae1"),
        *(0x3E, 3, 0xFFFE, 9, 6),
        *(0, 1, 1, 0, 4096, end, 0, end, 0),
        *(0, *[free] * 108),
    )
    table = struct.pack("<128I", 0xFFFFFFFD, end, *[free] * 126)

    def entry(name: str, kind: int, child: int) -> bytes:
        encoded = name.encode("utf-16-le") + b"\0\0"
        return struct.pack("<64sHBBIII36xIQ", encoded, len(encoded), kind, 1, free, free, child, end, 0)

    directory = entry("Root Entry", 5, 1) + entry(stream, 2, free) + bytes(256)
    return header + table + directory


def zip_bytes(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def epub_bytes(chapters: dict[str, str], spine: Sequence[str], extra: dict[str, str] | None = None) -> bytes:
    items = "".join(
        f'<item id="{id_}" href="text/{id_}.xhtml" media-type="application/xhtml+xml"/>' for id_ in chapters
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f'{items}</manifest><spine><itemref idref="nav"/>{"".join(f"<itemref idref={id_!r}/>" for id_ in spine)}'
        "</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    members: dict[str, str | bytes] = {"META-INF/container.xml": container, "OEBPS/book.opf": package}
    members["OEBPS/nav.xhtml"] = "<html><body><h1>Table of contents</h1></body></html>"
    members |= {f"OEBPS/text/{id_}.xhtml": text for id_, text in chapters.items()}
    return zip_bytes(members | (extra or {}))


# Text and Markdown


@pytest.mark.parametrize("extension", ["txt", "text", "log", "rst"])
def test_plain_text_is_one_section(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"\xef\xbb\xbfOne.\r\n\r\n\r\n\r\n  Two.\0  \r\n")
    assert read(path) == [Section("One.\n\n  Two.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "gb18030", "gbk", "big5"])
def test_chinese_text_in_every_usual_encoding(tmp_path: Path, encoding: str) -> None:
    text = "鏡湖渡輪的成人單程票價為十二元，兒童半價。Ferry No. 3" if encoding == "big5" else f"{CHINESE} Ferry No. 3"
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding) if encoding != "utf-16-be" else b"\xfe\xff" + text.encode(encoding))
    assert text_of(path) == text


def test_markdown_keeps_its_text_and_gives_its_front_matter(tmp_path: Path) -> None:
    body = "# Fares\n\nSee [a](http://x) and [b](http://y) if 1 <2 and 3> 2.\n\n```\n# not a heading\n```"
    path = tmp_path / "a.md"
    path.write_text(f"---\ntitle: 票价\nyear: 2025\ndraft: false\ntags: [x]\n---\n{body}\n", encoding="utf-8")
    front = {"title": "票价", "year": 2025, "draft": False, "tags": ["x"]}
    assert read(path) == [Section(body, document=front)]


@pytest.mark.parametrize(("name", "text"), [("a.txt", "Fares\n--- rise"), ("a.html", "<p>Fares\n--- rise</p>")])
def test_text_and_html_have_front_matter_too(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(f"---\nyear: 2025\n---\n{text}\n", encoding="utf-8")
    (section,) = read(path)
    assert section.document == {"year": 2025}
    assert "year" not in section.text
    assert section.text.startswith("Fares")


@pytest.mark.parametrize("front", ["---\nnot: [yaml\n---\nText", "---\njust words\n---\nText"])
def test_markdown_between_two_rules_is_text(tmp_path: Path, front: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(front)
    assert read(path) == [Section(front)]


def test_markdown_drops_pictures_that_are_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"Before ![a map](data:image/png;base64,{'QUJD' * 500}) after")
    assert text_of(path) == "Before ![a map] after"


# HTML


def test_html_is_markdown_without_what_is_not_content(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        "<!DOCTYPE html><html><head><title>The  page</title><style>p {}</style></head><body><nav>Home</nav>"
        "<!-- remark --><h2>Rules</h2><p>Keep <b>calm</b>, read <a href='/x'>this_one</a>.</p><p hidden>secret</p>"
        "<p style='display: none'>secret</p><ul><li>One<li>Two</ul><table><tr><td>Item<td>Place"
        "<tr><td>Bell<td>Bow</table><pre>a\n  b</pre><script>alert(1)</script>",
        encoding="utf-8",
    )
    [section] = read(path)
    assert section.metadata == {"title": "The page"}
    table = "| Item | Place |\n| --- | --- |\n| Bell | Bow |"
    expected = f"## Rules\n\nKeep **calm**, read this_one.\n\n- One\n- Two\n\n{table}\n\n```\na\n  b\n```"
    assert section.text == expected


def test_html_joins_chinese_that_the_source_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.htm"
    path.write_text("<p>北维克码头的\n   候船室，\n每天开门。\nOpen\ndaily.</p>", encoding="utf-8")
    assert text_of(path) == "北维克码头的候船室，每天开门。\nOpen\ndaily."


def test_html_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes("<meta charset='windows-1251'><p>Паром</p>".encode("windows-1251"))
    assert text_of(path) == "Паром"


# PDF


def test_pdf_has_a_section_per_page_with_text(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_bytes([["Fares", "Adults pay 4 crowns."], [], ["冬季航运公告"]]))
    assert read(path) == [
        Section("Fares\nAdults pay 4 crowns.", {"page": 1}),
        Section("冬季航运公告", {"page": 3}),
    ]


def test_pdf_paragraphs_are_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    english = ["The cooperative limits its liability for luggage, since representa-", "tions were made by many."]
    chinese = ["湖面冰层厚度超过八厘米时，所有航班停航，由湖区管理局每天早上五", "点测量冰厚。"]
    path.write_bytes(pdf_bytes([english, chinese]))
    first, second = (section.text for section in read(path))
    assert first == "The cooperative limits its liability for luggage, since representations were made by many."
    assert second == "".join(chinese)


def test_pdf_is_read_by_several_threads(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_bytes([[f"Page {number} of many"] for number in range(20)]))
    alone = read(path)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, [path] * 16)) == [alone] * 16


def test_pdf_without_text_is_probably_a_scan(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(pdf_bytes([[], []]))
    assert reason(path) == "no text in its 2 pages (scanned?); run OCR on it first"


def test_pdf_with_a_password(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_bytes([["Secret"]])))
    writer.encrypt("word", algorithm="RC4-128")
    path = tmp_path / "locked.pdf"
    writer.write(path)
    assert reason(path) == "protected by a password; save it without one"


def test_pdf_that_only_restricts_printing_is_read(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_bytes([["Not to be printed"]])))
    writer.encrypt("", owner_password="word", algorithm="RC4-128")
    path = tmp_path / "restricted.pdf"
    writer.write(path)
    assert text_of(path) == "Not to be printed"


def test_pdf_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bad.pdf"
    path.write_bytes(b"%PDF-1.7 and then nothing of the kind")
    assert reason(path).startswith("damaged, or not a pdf file (PdfiumError: Failed to load document")


# Office


def test_docx_keeps_headings_lists_and_tables_in_order(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Crew handbook", 0)
    document.add_heading("值班", 2)
    document.add_paragraph("At most ten_hours*.")
    document.add_paragraph("Radio", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("Vessel", "Crew", "Dipper", "2"), strict=True):
        cell.text = text
    document.add_paragraph("After the table.")
    path = tmp_path / "a.docx"
    document.save(str(path))
    table_text = "| Vessel | Crew |\n| --- | --- |\n| Dipper | 2 |"
    expected = f"# Crew handbook\n\n## 值班\n\nAt most ten_hours*.\n\n- Radio\n\n{table_text}\n\nAfter the table."
    assert read(path) == [Section(expected)]


def test_docx_has_inserted_and_boxed_text_and_not_the_deleted(tmp_path: Path) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("Sailings stop at ")
    for tag, text_tag, text in (("w:del", "w:delText", "12"), ("w:ins", "w:t", "17")):
        change, run, words = OxmlElement(tag), OxmlElement("w:r"), OxmlElement(text_tag)
        words.text = text
        run.append(words)
        change.append(run)
        paragraph._p.append(change)
    control, content = OxmlElement("w:sdt"), OxmlElement("w:sdtContent")
    inner = document.add_paragraph("In a form field.")._p
    inner.getparent().replace(inner, control)
    control.append(content)
    content.append(inner)
    assert control.tag == qn("w:sdt")
    path = tmp_path / "a.docx"
    document.save(str(path))
    assert text_of(path) == "Sailings stop at 17\n\nIn a form field."


def test_pptx_has_a_section_per_visible_slide(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Drills"
    slide.placeholders[1].text_frame.text = "Shout"
    point = slide.placeholders[1].text_frame.add_paragraph()
    point.text, point.level = "Point", 1
    slide.notes_slide.notes_text_frame.text = "Oskar weighs 75 kg."
    hidden = deck.slides.add_slide(deck.slide_layouts[5])
    hidden.shapes.title.text = "Hidden"
    hidden.element.set("show", "0")
    last = deck.slides.add_slide(deck.slide_layouts[6])
    group = last.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "组内文字"
    table = last.shapes.add_table(2, 2, 0, 0, Inches(4), Inches(1)).table
    for index, text in enumerate(("Drill", "When", "Fire", "Monday")):
        table.cell(index // 2, index % 2).text = text
    data = CategoryChartData()
    data.categories = ["2023", "2024"]
    data.add_series("Passengers", (310, 325.5))
    last.shapes.add_chart(XL_CHART_TYPE.LINE, 0, 0, Inches(4), Inches(2), data)
    path = tmp_path / "a.pptx"
    deck.save(str(path))
    assert read(path) == [
        Section("# Drills\n\nShout\n  Point\n\nNotes: Oskar weighs 75 kg.", {"slide": 1, "title": "Drills"}),
        Section(
            "组内文字\n\n| Drill | When |\n| Fire | Monday |\n\nPassengers: 2023 310, 2024 325.5",
            {"slide": 3},
        ),
    ]


def test_xlsx_names_the_columns_in_every_row(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Summer"
    sheet.append(["Timetable 2025"])
    sheet.append([])
    sheet.append(["From", "First", "Since", "Share", "Fare", "Minutes"])
    sheet.append(["北维克", datetime.time(6, 40), datetime.datetime(2025, 5, 1), 0.125, 0.1 + 0.2, 25])
    sheet["D4"].number_format = "0.0%"
    sheet.append(["Sorrel Bay", None, None, None, None, 30.0])
    hidden = workbook.create_sheet("Hidden")
    hidden.append(["secret", "secret"])
    hidden.sheet_state = "hidden"
    workbook.create_sheet("Plain").append(["x", 1, "y"])
    path = tmp_path / "a.xlsx"
    workbook.save(path)
    assert read(path) == [
        Section(
            "Timetable 2025\nFrom: 北维克; First: 06:40; Since: 2025-05-01; Share: 12.5%; Fare: 0.3; Minutes: 25\n"
            "From: Sorrel Bay; Minutes: 30",
            {"sheet": "Summer"},
        ),
        Section("x | 1 | y", {"sheet": "Plain"}),
    ]


@pytest.mark.parametrize("extension", ["docx", "pptx", "xlsx"])
def test_office_file_with_a_password(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"locked.{extension}"
    path.write_bytes(ole_bytes("EncryptedPackage"))
    assert reason(path) == "protected by a password; save it without one"


def test_office_file_of_an_old_format(tmp_path: Path) -> None:
    path = tmp_path / "old.docx"
    path.write_bytes(ole_bytes("WordDocument"))
    assert reason(path) == "in the format of Office before 2007; save it as docx"


@pytest.mark.parametrize("extension", ["docx", "pptx", "xlsx", "epub"])
def test_archive_that_is_damaged_or_something_else(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"bad.{extension}"
    path.write_bytes(b"PK\x03\x04 cut off")
    assert reason(path) == f"damaged, or not a {extension} file (not a zip archive inside)"
    path.write_bytes(zip_bytes({"readme.txt": "a zip archive of another kind"}))
    assert reason(path).startswith(f"damaged, or not a {extension} file (")


@pytest.mark.parametrize("extension", ["docx", "pptx", "xlsx", "epub"])
def test_archive_that_unpacks_to_too_much(tmp_path: Path, extension: str) -> None:
    data = bytearray(zip_bytes({"bomb.bin": b"0" * 1000}))
    size_in_directory = data.index(b"PK\x01\x02") + 24
    data[size_in_directory : size_in_directory + 4] = struct.pack("<I", 3 * 2**30)
    path = tmp_path / f"bomb.{extension}"
    path.write_bytes(data)
    limit = "unpacks to 3,072 MB of files; at most 512 MB are read"
    assert reason(path) == f"{limit} (a zip bomb? If not, split it or take large media out)"


def test_docx_whose_xml_is_too_large_for_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    path.write_bytes(zip_bytes({"word/document.xml": b" " * (65 * 2**20)}))
    assert reason(path).startswith("unpacks to 65 MB of XML; at most 64 MB are read")


def test_office_file_with_pictures_alone(tmp_path: Path) -> None:
    path = tmp_path / "empty.docx"
    docx.Document().save(str(path))
    assert reason(path) == "no text in it"


# Tables and records


def test_csv_is_one_section_with_named_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('编号,船名,备注\r\n007,红隼号,\r\n008,NA,"a, b\r\nc"\r\n'.encode("gb18030"))
    assert read(path) == [Section("编号: 007; 船名: 红隼号\n编号: 008; 船名: NA; 备注: a, b c")]


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "|"), ("a.csv", ",")])
def test_csv_separators(tmp_path: Path, name: str, mark: str) -> None:
    path = tmp_path / name
    path.write_text("\n".join(mark.join(row) for row in (("port", "depth"), ("North", "4"), ("South", "6"))))
    assert text_of(path) == "port: North; depth: 4\nport: South; depth: 6"


def test_csv_rows_of_prose_are_sections(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    answers = ["Dogs travel free of charge. " * 20, "Bicycles are limited to eight. " * 20]
    path.write_text("question,answer\n" + "".join(f"Question {n},{text}\n" for n, text in enumerate(answers)))
    sections = read(path)
    assert [section.metadata for section in sections] == [{"row": 2}, {"row": 3}]
    assert sections[1].text == f"question: Question 1; answer: {answers[1].strip()}"


def test_csv_of_names_alone_or_of_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("port,depth\n")
    assert text_of(path) == "port | depth"
    path.write_text("1,2\n3,4\n")
    assert text_of(path) == "1 | 2\n3 | 4"


def test_json_says_where_a_value_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {
        "company": {"name": "渡轮", "open": True, "fax": None},
        "ports": ["North", "South"],
        "vessels": [{"name": "Lapwing", "length": 24}, {"name": "Dipper", "crew": {"masters": 1}}],
    }
    path.write_text(json.dumps(value))
    expected = [
        "company.name: 渡轮",
        "company.open: true",
        "ports: North, South",
        "vessels[1]: name: Lapwing; length: 24",
        "vessels[2].name: Dipper",
        "vessels[2].crew.masters: 1",
    ]
    assert read(path) == [Section("\n".join(expected))]


def test_json_list_of_objects_is_a_section_each(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"port": "North"}, {"_id": "d2", "title": "T", "text": "Body", "year": 2025}]))
    assert read(path) == [
        Section("port: North", {"record": 1}),
        Section("T\n\nBody", {"_id": "d2", "title": "T", "year": 2025, "record": 2}),
    ]


def test_jsonl_is_a_section_per_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "One \\ud800"}\n\n"Two"\n', encoding="utf-8")
    assert read(path) == [Section("One", {"record": 1}), Section("Two", {"record": 3})]


def test_json_errors_name_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b" 2}')
    assert reason(path) == "not valid JSON: Expecting ':' delimiter at line 2"
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"a": 1}\n{"a": 1')
    assert reason(lines) == "not valid JSON: line 2: Expecting ',' delimiter at column 8"


# EPUB


def test_epub_is_a_section_per_chapter_in_reading_order(tmp_path: Path) -> None:
    head = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><body>'
    chapters = {"b": f"{head}<h1>Second</h1><p>Two.</p></body></html>", "a": f"{head}<p>前言。</p></body></html>"}
    path = tmp_path / "a.epub"
    path.write_bytes(epub_bytes(chapters, ["a", "b"]))
    assert read(path) == [
        Section("前言。", {"chapter": 1}),
        Section("# Second\n\nTwo.", {"chapter": 2, "title": "Second"}),
    ]


@pytest.mark.parametrize(
    ("algorithm", "protected"),
    [("http://www.w3.org/2001/04/xmlenc#aes128-cbc", True), ("http://www.idpf.org/2008/embedding", False)],
)
def test_epub_with_copy_protection(tmp_path: Path, algorithm: str, protected: bool) -> None:
    encryption = f'<encryption><e:EncryptionMethod xmlns:e="urn:e" Algorithm="{algorithm}"/></encryption>'
    path = tmp_path / "a.epub"
    path.write_bytes(epub_bytes({"a": "<p>Text</p>"}, ["a"], {"META-INF/encryption.xml": encryption}))
    if protected:
        assert reason(path) == "protected (DRM)"
    else:
        assert text_of(path) == "Text"


# Files that cannot be read, of any kind


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_empty_file(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"empty.{extension}"
    path.touch()
    assert reason(path) == "empty (0 bytes)"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv", "a.jsonl"])
def test_file_of_white_space(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("\ufeff \n\t\u3000\n", encoding="utf-8")
    assert reason(path) == "no text in it"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.json", "a.html"])
@pytest.mark.parametrize("data", [random.Random(1).randbytes(4000), zip_bytes({"x": "y" * 100}), bytes(range(256))])
def test_binary_data_under_the_name_of_a_text(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert reason(path) == "binary data, or text in an unknown encoding; save it as UTF-8"


def test_folder_missing_file_and_dangling_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder.pdf"
    folder.mkdir()
    assert reason(folder) == "a folder, not a file"
    assert reason(tmp_path / "none.txt") == "no such file"
    link = tmp_path / "link.txt"
    link.symlink_to("gone.txt")
    assert reason(link) == "a symbolic link to 'gone.txt', which does not exist"


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    assert reason(path) == "not a regular file"


@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx"])
def test_no_permission(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("secret")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert reason(path) == "Permission denied"


def test_unknown_extension_and_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.doc"
    path.write_text("text")
    assert reason(path).startswith("no reader for the extension 'doc' (known: csv, docx, ")
    assert read(path, {".DOC": "text"}) == [Section("text")]
    with pytest.raises(UserError, match=r"corpus\.readers\.doc = 'txt': not one of csv, .*Did you mean 'text'\?"):
        read(path, {"doc": "txt"})


SAMPLES = sorted(path for path in SAMPLE_CORPUS.rglob("*") if path.suffix.removeprefix(".") in EXTENSIONS)


@pytest.mark.parametrize("sample", SAMPLES, ids=[path.name for path in SAMPLES])
def test_a_file_damaged_anywhere_gives_sections_or_the_one_error(tmp_path: Path, sample: Path) -> None:
    chance = random.Random(sample.name)
    for _ in range(6):
        data = bytearray(sample.read_bytes())
        for _ in range(20):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / sample.name
        path.write_bytes(data[: chance.randrange(1, 2 * len(data))])
        with contextlib.suppress(UnreadableFileError):  # and nothing else
            assert all(section.text for section in read(path))


def test_the_error_survives_pickling(tmp_path: Path) -> None:
    error = UnreadableFileError(tmp_path / "a.pdf", "empty (0 bytes)")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), error.path, error.reason)
    assert copy.exit_code == 2


def test_every_extension_has_a_kind_and_every_kind_a_reader() -> None:
    assert set(EXTENSIONS.values()) == set(READERS)


def test_nothing_is_printed_logged_or_warned_of(tmp_path: Path) -> None:
    (tmp_path / "repaired.pdf").write_bytes(pdf_bytes([["Text"]]).replace(b"startxref\n", b"startxref\n9"))
    (tmp_path / "a.html").write_text("somewhere.html")
    (tmp_path / "b.xhtml").write_text('<?xml version="1.0"?><html><body>x</body></html>')
    workbook = openpyxl.Workbook()
    workbook.active.append(["a", "b"])
    workbook.save(tmp_path / "a.xlsx")
    program = "import sys, pathlib, confrag.build.readers as r; [r.read(pathlib.Path(name)) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
