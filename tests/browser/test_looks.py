"""The page on a phone, in the dark, in Chinese; the graph and the figures."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, ask
from tests.serve.running import Served

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SMALL = """() => [...document.querySelectorAll("a, button, input, select, textarea")]
  .filter((each) => each.checkVisibility() && !each.matches(".skip, .cite, .chip-x, .document-name, .check input"))
  .map((each) => ({ each, box: each.getBoundingClientRect() }))
  .filter(({ box }) => box.right > 0 && (box.width < 44 || box.height < 44))
  .map(({ each, box }) => `${each.className} ${each.textContent} ${box.width} x ${box.height}`)"""
VIEWS = ("chat", "documents", "graph", "statistics")
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, row) => sum + part * [0.2126, 0.7152, 0.0722][row], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgb(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb(getComputedStyle(document.documentElement).backgroundColor);
  };
  const low = [];
  for (const element of document.querySelectorAll("header *, main *, aside *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own || element.closest(":disabled, svg, .sr-only") || !element.checkVisibility()) continue;
    const [one, two] = [rgb(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) low.push(`${element.className || element.localName}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""


def settled(page: Page, view: str) -> None:
    ready = {"chat": ".composer", "documents": ".document", "graph": ".graph .node", "statistics": ".tile"}
    page.locator(ready[view]).first.wait_for()


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_phone_is_wide_enough_and_controls_are_large_enough(served: Served, tabs: Open, language: str) -> None:
    page = tabs(served, locale=language, **PHONE)
    ask(page, "Which light number is the signal of pier 80?")
    page.locator(".card button").first.tap()
    expect(page.locator("#panel .passage.hit")).to_be_in_viewport()
    assert page.locator("#panel").bounding_box() == {"x": 0, "y": 0, **PHONE["viewport"]}
    page.locator("#panel .panel-head button").tap()
    for view in VIEWS:
        page.locator(f".views a[href='#/{view}']").tap()
        settled(page, view)
        wide = "[document.documentElement, document.querySelector('main')].map(e => e.scrollWidth - e.clientWidth)"
        assert page.evaluate(wide) == [0, 0], view
        assert page.evaluate(SMALL) == [], "too small for a finger"


def test_the_list_of_conversations_is_a_drawer_on_a_phone(served: Served, tabs: Open) -> None:
    page = tabs(served, **PHONE)
    ask(page, "What colour is the door?")
    listed = page.locator(".conversations")
    expect(listed).not_to_be_in_viewport()
    menu = page.get_by_role("button", name="Chats")
    menu.tap()
    expect(listed).to_be_in_viewport()
    expect(listed.get_by_role("link", name="New chat")).to_be_focused()
    assert page.evaluate("['#top', '.talk'].map((behind) => document.querySelector(behind).inert)") == [True, True]
    page.keyboard.press("Escape")
    expect(listed).not_to_be_in_viewport()
    expect(menu).to_be_focused()
    menu.tap()
    listed.locator(".conversation a").tap()
    expect(listed).not_to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(served: Served, tabs: Open, scheme: Any) -> None:
    page = tabs(served, color_scheme=scheme, reduced_motion="reduce")
    ask(page, "Which light number is the signal of pier 80?")
    page.locator(".cite").first.click()
    page.locator("#panel .passage.hit").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate(CONTRASTS) == []
    for view in VIEWS[1:]:
        page.locator(f".views a[href='#/{view}']").click()
        settled(page, view)
        assert page.evaluate(CONTRASTS) == [], view


def test_the_theme_is_chosen_and_kept(served: Served, tabs: Open) -> None:
    page = tabs(served, color_scheme="light")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_focused()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    page.locator(".composer").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground == "rgb(21, 21, 19)"


def test_in_chinese(served: Served, tabs: Open) -> None:
    page = tabs(served, locale="zh-CN")
    expect(page.locator(".welcome")).to_contain_text("根据 3 篇文档回答")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.get_by_role("button", name="English").click()
    expect(page.locator(".welcome")).to_contain_text("Answers from 3 documents")
    page.get_by_role("button", name="中文").click()
    page.get_by_role("link", name="文档").click()
    expect(page.locator(".document .status").first).to_have_text("就绪")
    page.reload()
    expect(page.get_by_role("heading", name="文档")).to_be_visible()


def test_both_languages_have_the_same_texts(served: Served, tabs: Open) -> None:
    page = tabs(served)
    page.locator(".composer").wait_for()
    texts = page.evaluate("import('/web/js/i18n.js').then(module => module.LANGUAGES)")
    names = {
        language: {key: sorted(set(_names(text))) for key, text in of_language.items()}
        for language, of_language in texts.items()
    }
    assert len(names["en"]) > 100
    assert names["en"].keys() == names["zh"].keys()
    # "One" needs no number in English.
    assert [key for key in names["en"] if names["en"][key] != names["zh"][key] and not key.endswith(".one")] == []


def _names(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


def test_the_graph_shows_the_times_and_routes_of_the_last_question(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "Is the signal of pier 81 a light number?")
    shown = page.locator(".card").count()
    assert shown > 0
    page.get_by_role("link", name="Graph").click()
    nodes = page.locator(".node")
    described = served.app.describe()
    expect(nodes).to_have_count(len(described["nodes"]))
    expect(page.locator(".edge")).to_have_count(len(described["edges"]))
    route = page.locator(".node[data-node='recall.routes']")
    expect(route.locator(".time")).to_contain_text("ms")
    found = page.locator(".route-list li").count()
    expect(route.locator(".found")).to_have_text(f"{found} source{'s' if found > 1 else ''}")
    expect(page.locator(".waterfall .span-name")).to_contain_text(["look", "chunk", "extractive"])
    page.locator(".route-list button").first.click()
    expect(page.locator("#panel .passage.hit")).to_be_visible()


def test_boxes_do_not_lie_on_each_other(served: Served, tabs: Open) -> None:
    page = tabs(served, "graph")
    settled(page, "graph")
    boxes = [box.bounding_box() for box in page.locator(".node .box").all()]
    for row, one in enumerate(boxes):
        for other in boxes[row + 1 :]:
            apart_x = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            apart_y = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            assert apart_x or apart_y


def test_the_figures(served: Served, tabs: Open) -> None:
    page = tabs(served)
    ask(page, "What is counted here?")
    page.get_by_role("link", name="Statistics").click()
    corpus = served.app.corpus
    expect(page.locator(".tile", has_text="Documents").locator(".tile-value")).to_have_text(str(corpus.files))
    expect(page.locator(".bars dd")).to_have_text([str(count) for count in corpus.nodes.values()])
    held = served.app.cache.statistics()
    hits = page.locator(".cache div", has_text="hits").locator("dd")
    expect(hits).to_have_text(str(held["hits"]))
