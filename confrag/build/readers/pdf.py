"""PDF, by PDFium.

LazyLLM's PDFReader is not used: pypdf beneath it breaks words ("Beek eeper"), is ten times slower, cannot open AES
files that need no password, and a damaged file is tried three times, with log lines.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pypdfium2

from confrag.build.readers.layout import rejoin_words, unwrap
from confrag.build.readers.section import Section, UnreadableFileError

_PDFIUM = threading.Lock()  # PDFium may be called by one thread at a time.


def read_pdf(path: Path) -> list[Section]:
    """One section per page that has text; metadata: ``page``, from 1."""
    with _PDFIUM:
        pages = _page_texts(path)
    if not any(page.strip() for page in pages):
        count = "1 page" if len(pages) == 1 else f"{len(pages)} pages"
        raise UnreadableFileError(path, f"no text in its {count} (scanned?); run OCR on it first")
    return [Section(unwrap(text), {"page": number}) for number, text in enumerate(rejoin_words(pages), start=1)]


def _page_texts(path: Path) -> list[str]:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise UnreadableFileError(path, "protected by a password; save it without one") from error
        raise
    try:
        return [_page_text(page) for page in document]
    finally:
        document.close()


def _page_text(page: pypdfium2.PdfPage) -> str:
    textpage = page.get_textpage()
    try:
        return str(textpage.get_text_bounded())
    finally:
        textpage.close()
        page.close()
