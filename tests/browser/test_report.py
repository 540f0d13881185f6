"""The report in a browser: from a file, without a network, with hostile documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from confrag.report import build, read, write
from tests.browser.conftest import IMAGE, SCRIPT
from tests.reports import edit_rows, write_sweep

EVIL = f"</script>{SCRIPT}<!-- {IMAGE} \u2028"
OpenReport = Callable[..., Page]


@pytest.fixture(scope="module")
def page_of_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores that answer alike, two recalls that do not; one query fails, and one attacks."""
    folder = write_sweep(tmp_path_factory.mktemp("report"), queries=60, failed=["conf=milvus_remote,recall=dense"])

    def attack(row: dict[str, Any]) -> None:
        if row["id"] == "7":
            row.update(query=f"Which light? {EVIL}", answer=EVIL)
            row["gold"]["answers"] = [EVIL]
            row["sources"][0].update(text=f"{EVIL} text", file=f"{EVIL}.txt", document=EVIL, route=EVIL)

    def fail(row: dict[str, Any]) -> None:
        attack(row)
        if row["id"] == "3":
            row.update(error=f"nothing answers {EVIL}", answer=None, sources=[], ranking=[])

    for number in range(4):
        edit_rows(folder / str(number), fail if number == 0 else attack)
    # A query that failed costs nothing.
    first = folder / "0" / "eval.json"
    document = json.loads(first.read_text("utf-8"))
    document["cost"]["amount"] *= 59 / 60
    first.write_text(json.dumps(document), "utf-8")
    results = read([folder])
    return write(build(results, baseline="map · dense"), results, folder)[0]


@pytest.fixture
def shown(browser: Browser, page_of_report: Path) -> Iterator[OpenReport]:
    """Opens the report. It may ask for nothing but itself, run nothing but its own script and report no error."""
    contexts, faults = [], []

    def open_report(**context: Any) -> Page:
        contexts.append(browser.new_context(**{"locale": "en-US", "offline": True, **context}))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request", lambda request: faults.append(request.url) if request.url != page_of_report.as_uri() else None
        )
        page.goto(page_of_report.as_uri())
        return page

    yield open_report
    for context in contexts:
        assert context.pages[0].evaluate("window.ran") is None
        context.close()
    assert faults == []


def rows(page: Page) -> Any:
    return page.locator(".queries > li > button")


def test_what_a_reader_sees_first(shown: OpenReport) -> None:
    page = shown()
    expect(page.locator("h1")).to_have_text(
        re.compile(r"^chroma · hybrid has the best nDCG@10, 0\.\d{3}, but 1 other ")
    )
    expect(page.locator("h1")).to_have_text(re.compile(r"; the fastest of these is map · hybrid \(21 ms\)\.$"))
    expect(page.locator(".verdict dt")).to_have_text(
        ["Which one to take?", "Is it really better?", "What does it cost?"]
    )
    page.get_by_text("What the columns mean").click()
    expect(page.locator("#leaderboard dl")).to_contain_text("the share of the relevant documents that was found")
    names = page.locator("#leaderboard tbody th .name")
    expect(names).to_have_text(["chroma · hybrid", "map · hybrid", "chroma · dense", "map · dense"])
    verdicts = page.locator("#comparisons table").nth(0).locator("td:nth-child(5)")
    expect(verdicts).to_have_text(["equal", "worse", "worse"])
    expect(page.locator("#comparisons h3")).to_have_text(
        ["Against chroma · hybrid, the best", "Against map · dense, the baseline"]
    )
    expect(page.locator("#effects h3")).to_have_text(["recall", "conf"])
    expect(page.locator("#failures")).to_contain_text("milvus_remote · dense failed")
    expect(page.locator("#about pre")).to_have_text(re.compile("^confrag eval -m conf=map,chroma "))


def test_what_was_run_and_how_long_each_stage_took(shown: OpenReport) -> None:
    page = shown()
    page.get_by_text("Latency by stage").click()
    expect(page.get_by_role("region", name="Latency by stage").locator("tbody tr").first).to_have_text(
        re.compile(r"^chroma · hybrid29 ms62 ms29 ms62 ms$")
    )
    about = page.locator("#about")
    expect(about).to_contain_text("Example CPU, 2 cores, 8 GB, Linux")
    expect(about).to_contain_text("confrag 0.1.0, Python 3.11.9, lazyllm 1.4.0, chromadb 1.5.0")
    expect(about).to_contain_text("embed: local bge-small-en")


def test_charts_can_be_read_without_seeing_them(shown: OpenReport) -> None:
    page = shown()
    chart = page.get_by_role("img", name="nDCG@10 over median latency")
    expect(chart.locator("desc")).to_contain_text("2 of 4 configurations are on the front")
    expect(chart.locator(".point.front text")).to_have_text(["map · hybrid", "map · dense"])
    first = page.locator("#leaderboard tbody tr").first.get_by_role("img")
    assert re.fullmatch(r"95 % interval 0\.\d{3} to 0\.\d{3}", first.get_attribute("aria-label") or "")
    dots = [box["x"] for dot in page.locator("#leaderboard .dot").all() if (box := dot.bounding_box())]
    assert dots[0] == dots[1] > dots[2] == dots[3]


def test_queries_that_differ_come_first_and_open_side_by_side(shown: OpenReport) -> None:
    page = shown()
    expect(rows(page)).to_have_count(40)
    spreads = [float(text.removeprefix("Δ ")) for text in page.locator(".spread").all_inner_texts()]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 0.3
    rows(page).first.focus()
    page.keyboard.press("Enter")
    expect(rows(page).first).to_have_attribute("aria-expanded", "true")
    # The stores answer alike, and share a card.
    expect(page.locator(".run h4")).to_have_text(["chroma · hybridmap · hybrid", "chroma · densemap · dense"])
    expect(page.locator(".reference")).to_contain_text("2 relevant documents")
    for card in page.locator(".run").all():
        for item in card.locator(".sources > li").all():
            marked = item.locator(".tag", has_text=re.compile("^relevant$")).count()
            assert marked == (item.locator(".place").inner_text() in page.locator(".reference").inner_text())
    page.keyboard.press("Enter")
    expect(page.locator(".opened")).to_have_count(0)
    page.get_by_role("button", name="Show 20 more").click()
    expect(rows(page)).to_have_count(60)
    expect(rows(page).nth(40)).to_be_focused()


def test_search_filters_and_orders(shown: OpenReport) -> None:
    page = shown()
    search, status = page.get_by_label("Search queries"), page.locator(".status")
    search.fill("LIGHT 77")
    expect(page.locator(".queries .question")).to_have_text(["At what time does light 77 begin to shine?"])
    expect(status).to_have_text("1 query of 60")
    search.fill("灯塔 六点")
    expect(status).to_have_text("12 queries of 60")
    search.fill("no such words")
    expect(status).to_have_text("0 queries of 60")
    search.fill("")
    page.get_by_label("Order").select_option("id")
    assert page.locator(".queries .id").all_inner_texts()[:3] == ["0", "1", "2"]
    page.get_by_label("Filter").select_option("failed")
    expect(page.locator(".queries .id")).to_have_text(["3"])
    rows(page).first.click()
    expect(page.locator(".run .error")).to_contain_text("nothing answers")
    page.get_by_label("Filter").select_option("all wrong")
    for query in page.locator(".queries > li").all()[:3]:
        query.locator("> button").click()
        expect(query.locator(".run .score:not(.wrong)")).to_have_count(0)


def test_only_the_chosen_configurations_are_compared(shown: OpenReport) -> None:
    page = shown()
    page.get_by_text("Configurations: all").click()
    page.get_by_role("checkbox", name="chroma · dense").uncheck()
    page.get_by_role("checkbox", name="map · dense").uncheck()
    expect(page.get_by_text("Configurations: 2")).to_be_visible()
    page.get_by_label("Filter").select_option("differ")
    expect(page.locator(".status")).to_have_text("0 queries of 60")
    page.get_by_role("button", name="None").click()
    page.get_by_role("checkbox", name="map · hybrid").check()
    page.get_by_label("Filter").select_option("all")
    rows(page).first.click()
    expect(page.locator(".run h4")).to_have_text(["map · hybrid"])


def test_documents_and_answers_stay_text(shown: OpenReport) -> None:
    page = shown()
    page.get_by_label("Search queries").fill("Which light?")
    rows(page).first.click()
    expect(page.locator(".queries .question")).to_have_text(re.compile(re.escape(SCRIPT)))
    expect(page.locator(".run .answer").first).to_contain_text(IMAGE)
    page.locator(".run .sources summary").first.click()
    expect(page.locator(".run .sources p").first).to_contain_text(f"</script>{SCRIPT}")
    page.locator("#failures summary").click()
    expect(page.locator("#failures")).to_contain_text(SCRIPT)
    assert page.locator("main img").count() == 0
    assert page.locator("script").count() == 2


def test_its_policy_stops_what_would_be_inserted(browser: Browser, page_of_report: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(page_of_report.as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 2'}))")
    page.evaluate("fetch('https://example.invalid/').catch(() => { window.refused = true })")
    page.wait_for_function("window.refused")
    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in text for text in said) >= 3
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(shown: OpenReport, scheme: str) -> None:
    page = shown(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    rows(page).first.click()
    page.get_by_text("Configurations: all").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    menu = page.locator(".menu").bounding_box()
    assert menu
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 360
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(247, 246, 243)"
    assert light == (scheme == "light")


def test_without_script_everything_but_the_browser_of_queries_is_there(shown: OpenReport, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shown().url)
    expect(page.locator("#browser")).to_have_text(
        "The browser of queries needs JavaScript; everything else works without."
    )
    expect(page.locator("#leaderboard tbody tr")).to_have_count(4)
    context.close()
