"""The documentation as a site: built without a warning, read from files, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, expect

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`strict` in mkdocs.yml makes a warning an error: a page without a place, a link that leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_each_page_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages == {path.relative_to(site) for path in site.rglob("*.html")} - {Path("404.html")}


def test_it_is_read_and_searched_from_files(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            asked.append(request.url)

    context.on("request", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="Tutorial").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Twelve practices")
    page.keyboard.press("/")
    page.keyboard.type("smart_embedding_index")
    found = page.locator(".md-search-result__link").first
    # The worker of the search runs in a frame, since pages from files may have none.
    expect(found).to_be_visible(timeout=20_000)
    page.goto((site / "presets" / "rag_final.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("rag_final")
    page.wait_for_load_state("networkidle")
    assert asked == []
    assert faults == []
    context.close()
