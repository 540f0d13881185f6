"""HTML as Markdown: headings, lists and tables stay. LazyLLM has no reader for it and indexes tags and scripts."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, NavigableString, XMLParsedAsHTMLWarning
from bs4.dammit import EncodingDetector
from markdownify import MarkdownConverter

from confrag.build.readers.section import Section
from confrag.build.readers.text import front_matter, load_text

# Warnings about short files and about XHTML, which are read well.
warnings.filterwarnings("ignore", category=MarkupResemblesLocatorWarning)
warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)

_NOT_CONTENT = ("head", "script", "style", "noscript", "template", "svg", "nav", "button", "select", "iframe")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_CHINESE = "\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_CHINESE_LINE_BREAK = re.compile(rf"(?<=[{_CHINESE}])[ \t]*\n[ \t]*(?=[{_CHINESE}])")
_DECLARATION_BYTES = 2048


def read_html(path: Path) -> list[Section]:
    """The whole page as one section of Markdown; metadata: ``title``, where the page has one."""
    with path.open("rb") as file:
        declared = EncodingDetector.find_declared_encoding(file.read(_DECLARATION_BYTES), is_html=True)
    front, page = front_matter(load_text(path, declared))
    title, text = html_to_markdown(page)
    return [Section(text, {"title": title} if title else {}, front)]


def html_to_markdown(html: str) -> tuple[str, str]:
    """The title and the Markdown of a page, without navigation, scripts, hidden parts, pictures and link targets."""
    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup.find_all(_NOT_CONTENT):
        tag.decompose()
    for tag in [*soup.find_all(hidden=True), *soup.find_all(style=_HIDDEN)]:
        tag.decompose()
    for text in soup.find_all(string=True):
        if (
            type(text) is NavigableString and text.find_parent("pre") is None
        ):  # not a comment or doctype, its subclasses
            text.replace_with(_CHINESE_LINE_BREAK.sub("", text))
    return title, str(_MARKDOWN.convert_soup(soup))


_MARKDOWN = MarkdownConverter(
    heading_style="ATX",
    bullets="-",
    strip=["a", "img"],
    table_infer_header=True,
    escape_asterisks=False,
    escape_underscores=False,
    escape_misc=False,
)
