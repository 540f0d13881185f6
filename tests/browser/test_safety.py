"""What documents may not do to who reads them; tokens; what the page fetches, and from where."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import EVIL, IMAGE, SCRIPT, Open, ask
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

READ, WRITE = "read-token-of-the-page", "write-token-of-the-page"


def nothing_ran(page: Page) -> None:
    assert page.evaluate("window.ran") is None
    assert page.locator("img, iframe, object, embed, svg script, body script, [onerror]").count() == 0


def test_what_a_document_holds_is_text(served: Served, tabs: Open) -> None:
    page = tabs(served)
    assert SCRIPT in ask(page, "What did the bandit of the fjord write?")
    nothing_ran(page)
    card = page.locator(".card", has_text=EVIL)
    expect(card.locator(".card-text")).to_contain_text(IMAGE)
    card.get_by_role("button").click()
    expect(page.locator("#panel .passage.hit")).to_contain_text(SCRIPT)
    expect(page.locator("#panel h2")).to_have_text(EVIL)
    nothing_ran(page)
    page.goto(f"{served.url}/#/graph")
    expect(page.locator(".route-file", has_text=EVIL)).to_be_visible()
    nothing_ran(page)


def test_metadata_and_names_are_text(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    page.get_by_role("button", name=f"Edit metadata: {EVIL}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h2")).to_contain_text(EVIL)
    dialog.get_by_role("button", name="Add field").click()
    dialog.get_by_label("Field", exact=True).last.fill("note")
    dialog.get_by_label("Value").last.fill(IMAGE)
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".document .tag")).to_have_text(f"note {IMAGE}")
    nothing_ran(page)
    page.goto(f"{served.url}/#/chat")
    ask(page, "Who wrote this in the fjord?")
    page.locator(".card", has_text=EVIL).get_by_role("button").click()
    expect(page.locator("#panel .metadata")).to_contain_text(IMAGE)
    nothing_ran(page)
    held = next(each for each in served.app.documents.list() if each.name == EVIL)
    served.app.documents.reset_metadata([held.id], {})


def test_a_question_is_text_also_when_it_is_kept(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, IMAGE)
    expect(page.locator(".bubble")).to_have_text(IMAGE)
    expect(page.locator(".conversation-title")).to_have_text(IMAGE)
    page.reload()
    expect(page.locator(".bubble")).to_have_text(IMAGE)
    nothing_ran(page)


def test_what_gets_into_the_page_all_the_same_does_not_run(served: Served, tabs: Open) -> None:
    page = tabs(served, expected="Content Security Policy|404")
    page.locator(".composer").wait_for()
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", f"<p id=let-in>{IMAGE}</p>")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))")
    expect(page.locator("#let-in img")).to_have_count(1)
    page.evaluate("new Promise(done => setTimeout(done))")
    assert page.evaluate("window.ran") is None


def test_the_page_carries_a_policy_and_lies_in_the_cache(served: Served) -> None:
    page = httpx.get(served.url)
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-cache"
    known = httpx.get(served.url, headers={"If-None-Match": page.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    script = re.findall(r'src="(/web/[0-9a-f]{16}/js/main\.js)"', page.text)[0]
    held = httpx.get(served.url + script)
    assert held.headers["content-type"].startswith("text/javascript")
    assert held.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = httpx.get(f"{served.url}/web/js/main.js")
    assert (plain.headers["cache-control"], plain.content) == ("no-cache", held.content)
    missing = httpx.get(f"{served.url}/web/%2e%2e/page.py")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "the page has no file '../page.py'"


@pytest.fixture(scope="module")
def guarded(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with two tokens."""
    place = Workplace(tmp_path_factory.mktemp("guarded"))
    place.write(office="The harbour office opens at nine.")
    with hashed_registered(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONFRAG_READ_TOKEN", READ)
        environment.setenv("CONFRAG_WRITE_TOKEN", WRITE)
        with serving(place.load("quickstart")) as running:
            yield running


def give(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use token").click()


def test_a_token_is_asked_for_and_stays_in_the_tab(guarded: Served, tabs: Open) -> None:
    page = tabs(guarded, expected="401")
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    give(page, "a-guess")
    expect(page.locator("dialog .reason")).to_have_text("The service did not accept this token.")
    give(page, WRITE)
    expect(page.locator(".welcome")).to_contain_text("Answers from one document")
    assert "opens at nine" in ask(page, "When does the office open?")
    page.reload()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".turn.done")).to_have_count(1)
    page.goto(f"{guarded.url}/#/documents")
    expect(page.get_by_role("button", name="Add documents")).to_be_enabled()
    page.get_by_role("button", name="Access token").click()
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_label("Token", exact=True)).to_have_value("")
    assert not [address for address in addresses if WRITE in address or "a-guess" in address]
    assert WRITE not in str(page.evaluate("Object.entries(localStorage)"))


def test_who_may_read_is_offered_no_changes(guarded: Served, tabs: Open) -> None:
    page = tabs(guarded, "documents", expected="401")
    give(page, READ)
    expect(page.locator(".document")).to_contain_text("office.txt")
    expect(page.get_by_role("button", name="Add documents")).to_be_disabled()
    expect(page.get_by_role("button", name="Delete: office.txt")).to_be_disabled()
    expect(page.locator(".drop")).to_contain_text("This token may read, not change documents")
