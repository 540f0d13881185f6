"""EPUB, by the standard library: zip and XML.

LazyLLM's EpubReader is not used: it takes the files as they are packed, not in reading order, with the table of
contents in between, makes one text of the book, and rests on ebooklib (AGPL) and html2text (GPL).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from confrag.build.readers.archive import check_archive
from confrag.build.readers.section import Section, UnreadableFileError
from confrag.build.readers.text import decode
from confrag.build.readers.web import html_to_markdown

_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def read_epub(path: Path) -> list[Section]:
    """One section per chapter file, in reading order; metadata: ``chapter``, from 1, and its heading as ``title``."""
    check_archive(path)
    with zipfile.ZipFile(path) as book:
        if _is_encrypted(book):
            raise UnreadableFileError(path, "protected (DRM)")
        chapters = [_chapter(book, name) for name in _reading_order(book)]
    return [
        Section(text, {"chapter": number, **({"title": match.group(1)} if (match := _HEADING.search(text)) else {})})
        for number, text in enumerate(chapters, start=1)
    ]


def _reading_order(book: zipfile.ZipFile) -> list[str]:
    """Names of the spine's documents (EPUB 3.3, section 5.7), without the table of contents."""
    container = ElementTree.fromstring(book.read("META-INF/container.xml"))
    rootfile = container.find(".//{*}rootfile")
    if rootfile is None:
        raise ValueError("META-INF/container.xml names no package document")
    package_name = rootfile.attrib["full-path"]
    package = ElementTree.fromstring(book.read(package_name))
    items = {item.get("id"): item for item in package.iterfind("{*}manifest/{*}item")}
    spine = [items[reference.get("idref")] for reference in package.iterfind("{*}spine/{*}itemref")]
    folder = posixpath.dirname(package_name)
    return [
        posixpath.normpath(posixpath.join(folder, unquote(item.attrib["href"])))
        for item in spine
        if "nav" not in item.get("properties", "").split() and "html" in item.get("media-type", "")
    ]


def _chapter(book: zipfile.ZipFile, name: str) -> str:
    text = decode(book.read(name))
    if text is None:
        raise ValueError(f"{name} is not text")
    return html_to_markdown(text)[1].strip()


def _is_encrypted(book: zipfile.ZipFile) -> bool:
    if "META-INF/encryption.xml" not in book.namelist():
        return False
    methods = ElementTree.fromstring(book.read("META-INF/encryption.xml")).iterfind(".//{*}EncryptionMethod")
    return any(method.get("Algorithm") not in _FONT_SCRAMBLING for method in methods)
