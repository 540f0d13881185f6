"""Make the pictures that the README shows: `python docs/screenshots.py [FOLDER] [REPORT.html]`.

A real service over the sample corpus, with the embedded models of the preset `rag_final`, in a real browser; and the
report of a sweep, where one is named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

import confrag

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import chromium
from tests.browser.conftest import ask
from tests.serve.running import Served, serving

IMAGES = Path(__file__).parent / "images"
QUESTION = "How many bicycles fit on each sailing?"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}


def opened(browser: Browser, served: Served, scheme: Any = "light", **size: Any) -> Page:
    """The page, with a question that has been answered."""
    # What moves would be caught on its way.
    page = browser.new_context(locale="en-US", color_scheme=scheme, reduced_motion="reduce", **size).new_page()
    page.goto(served.url)
    ask(page, QUESTION)
    return page


def shoot(page: Page, folder: Path, name: str) -> None:
    """Take the picture, once everything is there."""
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    page.screenshot(path=folder / f"{name}.png")
    print(f"{name}.png: {(folder / f'{name}.png').stat().st_size / 1000:.0f} KB")


def main(folder: Path, report: Path | None) -> None:
    """Write ``chat.png``, ``documents.png``, ``graph.png`` and ``phone.png``, or ``report.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    if report:
        with chromium.running() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(report.absolute().as_uri())
            shoot(page, folder, "report")
        return
    with tempfile.TemporaryDirectory() as state:
        app = confrag.load("rag_final", overrides=[f"state_dir='{state}'", "prompts=english"])
        with serving(app) as served, chromium.running() as browser:
            page = opened(browser, served, **DESKTOP)
            page.locator(".card button").first.click()
            page.locator("#panel .passage.hit").wait_for()
            shoot(page, folder, "chat")
            page.locator("#panel .panel-head button").click()
            for view, ready in {"documents": ".document", "graph": ".graph .node"}.items():
                page.locator(f".views a[href='#/{view}']").click()
                page.locator(ready).first.wait_for()
                shoot(page, folder, view)
            shoot(opened(browser, served, "dark", **PHONE), folder, "phone")


if __name__ == "__main__":
    named = [Path(argument) for argument in sys.argv[1:]]
    main(named[0] if named else IMAGES, named[1] if len(named) > 1 else None)
