"""A browser, a service, and a page that is watched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

SCRIPT = "<script>window.ran = 'script'</script>"
IMAGE = "<img src=x onerror=\"window.ran = 'image'\">"
EVIL = "<img src=x onerror=window.ran=1>.txt"
FIELDS = ("doc_fields.boat=string", "doc_fields.year=int", "doc_fields.draft=bool", "doc_fields.tags=strings")
Open = Callable[..., Page]

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module; each has its own profile in it.

    Not for longer: its event loop runs in this thread, where other tests want to run one of theirs.
    """
    if not chromium.find():
        pytest.skip(chromium.NONE_FOUND)
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A small corpus, one document of which attacks; passages for answers. A test leaves it as it has found it."""
    place = Workplace(tmp_path_factory.mktemp("page"))
    lines = [f"Rule {number}: the signal of pier {number} is light number {number * 7}." for number in range(1, 121)]
    place.write(signals="\n".join(lines), office="The harbour office opens at nine. Its door is painted yellow.")
    (place.docs / EVIL).write_text(f"The bandit of the fjord wrote this: {SCRIPT} {IMAGE} **and more**.", "utf-8")
    with hashed_registered(), serving(place.load("quickstart", "cache=exact", *FIELDS)) as running:
        yield running


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Open]:
    """Opens pages. At the end none may have asked another origin for anything, or have written an error."""
    contexts, faults = [], []

    def open_page(served: Served, view: str = "chat", *, expected: str | None = None, **context: Any) -> Page:
        contexts.append(browser.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **context}))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)

        def said(text: str) -> None:
            if expected is None or not re.search(expected, text):
                faults.append(text)

        page.on("console", lambda message: said(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said(str(error)))
        page.on("request", lambda request: None if request.url.startswith(served.url) else faults.append(request.url))
        page.goto(f"{served.url}/#/{view}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def ask(page: Page, question: str) -> str:
    """Ask by the form, wait for the end of the answer, and return its text."""
    turns = page.locator(".turn").count()
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    page.locator(".turn").nth(turns).wait_for()
    page.locator(".turn:last-child:not(.asking)").wait_for()
    return page.locator(".turn:last-child .answer-text").inner_text()
