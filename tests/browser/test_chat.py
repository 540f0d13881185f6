"""Questions and answers on the page, against a real service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Open, ask
from tests.engine import Workplace, hashed_registered
from tests.integration.test_streaming import Endless, endless
from tests.serve.running import Served, serving

QUESTION = "Which light number is the signal of pier 80?"
FROM_TOP = "document.querySelector('.thread-scroll').scrollTop"


@pytest.fixture
def writer() -> Iterator[Endless]:
    with endless() as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A page whose modules a test calls by themselves."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(served.url)
    page.locator("#thread").wait_for()
    yield page
    context.close()


@pytest.fixture
def writing(tmp_path: Path, writer: Endless) -> Iterator[Served]:
    """A service whose model writes for a long time, and which lets nobody wait."""
    place = Workplace(tmp_path)
    place.write(office="The harbour office opens at nine.")
    model = ("llm=openai_compatible", f"models.llm.base_url={writer.url}", "models.llm.model=test")
    app = place.load("quickstart", "recall=lexical", *model, "generation.max_tokens=4096")
    with hashed_registered(), serving(app, max_concurrency=1, queue=0) as running:
        yield running


def test_a_source_opens_at_its_passage(served: Served, tabs: Open) -> None:
    page = tabs(served)
    assert "light number" in ask(page, QUESTION)
    cited = page.locator(".turn .cite").first
    text = page.locator(".card").nth(int(cited.inner_text()) - 1).locator(".card-text").text_content()
    cited.click()
    panel = page.locator("#panel")
    expect(panel.locator("h2")).to_have_text("signals.txt")
    expect(panel.locator(".passage.hit .passage-text")).to_have_text(text or "")
    expect(panel.locator(".passage.hit")).to_be_in_viewport()
    expect(page.locator(".card.shown .card-number")).to_have_text(cited.inner_text())
    assert panel.locator(".passage").count() > 3
    assert panel.locator(".passage-text").first.inner_text().startswith("Rule 1:")
    expect(panel.locator(".panel-sub")).to_have_text(re.compile(r"^Passage \d+ of \d+ · MediumChunk$"))
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    expect(cited).to_be_focused()


def test_a_card_shows_where_a_source_comes_from(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "What colour is the door of the harbour office?")
    card = page.locator(".card", has_text="office.txt")
    expect(page.locator(".card.shown")).to_have_count(0)
    expect(card.locator(".route")).to_have_text("chunk")
    assert re.fullmatch(r"score 0\.\d+", card.locator(".score").inner_text())
    assert re.match(r"[\d.]+ m?s\s+retrieve ", page.locator(".figures").inner_text())


def test_an_answer_is_shown_while_it_is_written_until_it_is_stopped(
    writing: Served, writer: Endless, tabs: Open
) -> None:
    page = tabs(writing)
    page.locator("#question").fill("When does the harbour office open?")
    page.get_by_role("button", name="Send").click()
    text = page.locator(".turn.asking .answer-text")
    expect(text).to_contain_text("word3 ")
    expect(text).not_to_contain_text("word1500 ")
    assert page.evaluate(FROM_TOP) == 0  # who reads is not moved
    page.get_by_role("button", name="Go to the end").click()
    words = len((text.text_content() or "").split())
    expect(text).to_contain_text(f"word{words + 100} ")
    expect(page.get_by_role("button", name="Go to the end")).to_be_hidden()
    assert page.evaluate(FROM_TOP) > 0
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".turn.stopped")).to_contain_text("Stopped.")
    assert writer.left.wait(30), "the model goes on writing for nobody"
    expect(page.get_by_role("button", name="Send")).to_be_disabled()  # there is nothing to send
    page.reload()
    expect(page.locator(".conversation-title")).to_have_text("When does the harbour office open?")


def test_who_has_to_wait_is_told_how_long(writing: Served, tabs: Open) -> None:
    first, second = tabs(writing), tabs(writing, expected="429")
    for page in (first, second):
        page.locator("#question").fill("When does the harbour office open?")
    first.locator("#question").press("Enter")
    expect(first.locator(".turn.asking .answer-text")).to_contain_text("word1")
    second.locator("#question").press("Enter")
    expect(second.locator(".problem-title")).to_have_text("The service is busy.")
    again = second.locator(".problem button")
    assert re.fullmatch(r"Try again in \d+ s", again.inner_text())
    expect(again).to_be_disabled()
    first.keyboard.press("Escape")
    expect(first.locator(".turn.stopped")).to_be_visible()
    expect(again).to_have_text("Try again")
    again.click()
    expect(second.locator(".turn.asking .answer-text")).to_contain_text("word1")
    assert second.locator(".turn").count() == 1


def test_an_answer_goes_on_while_something_else_is_looked_at(writing: Served, tabs: Open) -> None:
    page = tabs(writing)
    page.locator("#question").fill("When does the harbour office open?")
    page.locator("#question").press("Enter")
    expect(page.locator(".turn.asking .answer-text")).to_contain_text("word3 ")
    page.get_by_role("link", name="Graph").click()
    page.locator(".graph .node").first.wait_for()
    page.go_back()
    text = page.locator(".turn.asking .answer-text")
    seen = text.inner_text().split()[-1]
    expect(text).not_to_have_text(re.compile(f"{seen}$"))
    page.keyboard.press("Escape")
    expect(page.locator(".turn.stopped")).to_be_visible()


def test_tabs_do_not_forget_each_others_conversations(served: Served, tabs: Open) -> None:
    first = tabs(served)
    second = first.context.new_page()
    second.goto(served.url)
    ask(first, "What colour is the door?")
    ask(second, "When does the office open?")
    both = ["When does the office open?", "What colour is the door?"]
    expect(first.locator(".conversation-title")).to_have_text(both)
    second.reload()
    expect(second.locator(".conversation-title")).to_have_text(both)


RENDER = """async ([text, sources]) => {
  const { rich } = await import("/web/js/rich.js");
  const { h } = await import("/web/js/dom.js");
  return h("div", {}, rich(text, (number) => number <= sources && h("i", {}, number))).innerHTML;
}"""


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("# Title\n- a\n- b\n  c", '<p class="heading">Title</p><ul><li>a</li><li>b\nc</li></ul>'),
        ("3. c\n4. d", '<ol start="3"><li>c</li><li>d</li></ol>'),
        (
            "**bold** *soft* `co*d*e` 2*3*4",
            "<p><strong>bold</strong> <em>soft</em> <code>co*d*e</code> 2<em>3</em>4</p>",
        ),
        ("```py\n<b>[1]\n```\nend", '<pre tabindex="0"><code>&lt;b&gt;[1]</code></pre><p>end</p>'),
        ("It is so [1, 3-4][2].", "<p>It is so <i>1</i><i>3</i><i>4</i><i>2</i>.</p>"),
        ("Full width【2】, none [9], code `[1]`", "<p>Full width<i>2</i>, none [9], code <code>[1]</code></p>"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
        ("- a\n  1. b\n- c", '<ul><li>a<ol start="1"><li>b</li></ol></li><li>c</li></ul>'),
        ("> said [1]\n> so\n***", "<blockquote><p>said <i>1</i>\nso</p></blockquote><hr>"),
        (
            "Sailings:\n| Day | At |\n|:--|---|\n| Monday [2] | <b>9</b> |\nand so on",
            '<p>Sailings:</p><div class="table" tabindex="0"><table><thead><tr><th>Day</th><th>At</th></tr></thead>'
            "<tbody><tr><td>Monday <i>2</i></td><td>&lt;b&gt;9&lt;/b&gt;</td></tr></tbody></table></div>"
            "<p>and so on</p>",
        ),
        ("| no | table |", "<p>| no | table |</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
    ],
)
def test_answers_are_formatted(page: Page, text: str, html: str) -> None:
    assert page.evaluate(RENDER, [text, 4]) == html


def test_an_answer_tells_what_it_is_made_without(page: Page) -> None:
    answer = {"cached": False, "partial": True, "missing": {"web": "no answer in 2 s"}, "rewritten": "door colour"}
    turn = {
        "query": "And the door?",
        "state": "done",
        "text": "Yellow [1].",
        "answer": {**answer, "sources": [], "citations": []},
    }
    turn["answer"] |= {"timings_ms": {"total": 4.2}, "tokens": {"prompt": 10, "completion": 3}}
    page.evaluate(
        "turn => import('/web/js/turn.js').then(made => thread.replaceChildren(made.turnElement(turn)))", turn
    )
    shown = page.locator(".turn")
    expect(shown.locator(".badges")).to_have_text("Partial: without web")
    expect(shown.locator(".missing")).to_have_text("web no answer in 2 s")
    expect(shown.locator(".rewritten")).to_have_text("Searched for “door colour”")
    expect(shown.locator(".figures")).to_have_text("4.2 ms10 + 3 tokens")


def test_conversations_are_kept_renamed_and_deleted(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "What colour is the door?")
    ask(page, QUESTION)
    page.get_by_role("link", name="New chat").first.click()
    expect(page.locator(".welcome")).to_contain_text("Answers from 3 documents")
    ask(page, "When does the office open?")
    titles = page.locator(".conversation-title")
    expect(titles).to_have_text(["When does the office open?", "What colour is the door?"])
    page.go_back()
    expect(page.locator(".turn")).to_have_count(2)
    page.reload()
    expect(page.locator(".turn.done")).to_have_count(2)
    page.locator(".conversation.open").hover()
    page.locator(".conversation.open").get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("The door")
    page.get_by_role("button", name="Save").click()
    expect(titles).to_have_text(["When does the office open?", "The door"])
    page.locator(".conversation.open").hover()
    page.locator(".conversation.open").get_by_role("button", name="Delete chat").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(titles).to_have_text(["When does the office open?"])
    expect(page.locator(".welcome")).to_be_visible()


def test_the_history_goes_along(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "What colour is the door?")
    with page.expect_request("**/api/ask") as sent:
        ask(page, "And when does it open?")
    history = sent.value.post_data_json["history"]
    assert [turn["role"] for turn in history] == ["user", "assistant"]
    assert history[0]["content"] == "What colour is the door?"
    assert "yellow" in history[1]["content"]


def test_a_question_about_some_documents(served: Served, tabs: Open) -> None:
    page = tabs(served)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("file", exact=True).fill("office.txt")
    page.get_by_label("file", exact=True).press("Enter")
    expect(page.locator(".filter-chips")).to_contain_text("file = office.txt")
    ask(page, QUESTION)
    assert set(page.locator(".card-file").all_inner_texts()) == {"office.txt"}
    page.get_by_role("button", name="Remove the filter on file").click()
    ask(page, QUESTION)
    assert "signals.txt" in page.locator(".turn:last-child .card-file").all_inner_texts()


def test_an_answer_is_copied(served: Served, tabs: Open) -> None:
    page = tabs(served, permissions=["clipboard-read", "clipboard-write"])
    ask(page, "What colour is the door?")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").filter(has_text="Answer copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("No model was asked.")


def test_an_answer_from_the_cache_says_so(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "Is there a yellow door?")
    page.get_by_role("link", name="New chat").first.click()
    page.locator(".welcome").wait_for()
    ask(page, "Is there a yellow door?")
    expect(page.locator(".badges")).to_have_text("From the cache")


def reached(page: Page, selector: str, most: int = 60) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by the keyboard")


def test_by_keyboard_alone(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    page.locator(".document").first.wait_for()
    reached(page, ".views a[href='#/chat']")
    page.keyboard.press("Enter")
    page.locator(".composer").wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("What colour is the door?")
    page.keyboard.press("Enter")
    page.locator(".turn.done").wait_for()
    expect(page.get_by_role("log", name="Answer")).to_contain_text("yellow")
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.matches('.cite')"):
            break
    expect(page.locator(".cite:focus")).to_have_count(1)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.locator(".cite:focus")).to_have_count(1)
