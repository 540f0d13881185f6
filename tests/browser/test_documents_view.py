"""Documents on the page: uploaded, asked about, described, taken out; against a real service."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, ask
from tests.chat import chat_server
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

SECRET = "the heron"
FACT = f"The mascot of the rowing club is {SECRET}, chosen by the children of Osmund."
ABOUT_IT = "Which mascot of the rowing club was chosen by the children?"
DROP = """([box, name, content]) => {
  const files = new DataTransfer();
  files.items.add(new File([typeof content === "number" ? new Uint8Array(content) : content], name));
  for (const type of ["dragover", "drop"]) {
    box.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: files }));
  }
}"""


def row(page: Page, name: str) -> Locator:
    return page.locator(".document", has=page.get_by_role("button", name=name, exact=True))


def delete(page: Page, name: str) -> None:
    page.get_by_role("button", name=f"Delete: {name}").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row(page, name)).to_have_count(0)


def test_an_upload_is_answered_from_until_it_is_deleted(served: Served, tabs: Open, tmp_path: Path) -> None:
    page = tabs(served, "documents")
    club = tmp_path / "club.txt"
    club.write_text(FACT, "utf-8")
    page.locator("#picker").set_input_files(club)
    expect(page.locator(".upload.done")).to_contain_text("club.txt")
    expect(row(page, "club.txt").locator(".status")).to_have_text("Ready")
    expect(row(page, "club.txt")).to_contain_text("added")
    page.goto(f"{served.url}/#/chat")
    assert SECRET in ask(page, ABOUT_IT)
    expect(page.locator(".card-file").first).to_have_text("club.txt")
    page.goto(f"{served.url}/#/documents")
    delete(page, "club.txt")
    page.goto(f"{served.url}/#/chat")
    assert SECRET not in ask(page, ABOUT_IT)
    assert "club.txt" not in page.locator(".card-file").all_inner_texts()


def test_files_are_dropped_and_replaced(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    box = page.locator(".drop").element_handle()
    page.evaluate(DROP, [box, "club.txt", FACT])
    expect(row(page, "club.txt").locator(".status")).to_have_text("Ready")
    page.evaluate(DROP, [box, "club.txt", FACT])
    expect(row(page, "club-1.txt").locator(".status")).to_have_text("Ready")  # it stands beside the first
    delete(page, "club-1.txt")
    page.get_by_label("Replace documents of the same name").check()
    other = FACT.replace(SECRET, "a pike")
    page.evaluate(DROP, [box, "club.txt", other])
    expect(page.locator(".upload.done")).to_have_count(3)
    expect(row(page, "club.txt")).to_contain_text(f"{len(other)} B")  # until then it is the one before that is ready
    expect(row(page, "club.txt").locator(".status")).to_have_text("Ready")
    row(page, "club.txt").locator(".document-name").click()
    expect(page.locator("#panel .passage-text")).to_contain_text("a pike")
    delete(page, "club.txt")


def test_a_file_that_cannot_be_read_is_not_sent(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else None)
    box = page.locator(".drop").element_handle()
    page.evaluate(DROP, [box, "film.mp4", "frames"])
    page.evaluate(DROP, [box, "nothing.txt", ""])
    page.evaluate(DROP, [box, "large.txt", 51 * 2**20])
    failed = page.locator(".upload.failed .upload-state")
    expect(failed).to_have_count(3)
    large, empty, film = failed.all_inner_texts()
    assert film.startswith(".mp4 cannot be read here. Allowed: csv, docx, ")
    assert empty == "The file is empty."
    assert large == "53 MB is too large: at most 50 MB."
    assert sent == []


def test_a_file_that_turns_out_to_be_none_is_shown_with_the_reason(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    page.evaluate(DROP, [page.locator(".drop").element_handle(), "broken.pdf", "no PDF at all"])
    expect(row(page, "broken.pdf").locator(".status")).to_have_text("Failed")
    reason = next(each.reason for each in served.app.documents.list() if each.name == "broken.pdf")
    assert reason
    expect(row(page, "broken.pdf").locator(".reason")).to_have_text(reason)
    page.get_by_role("link", name="Statistics").click()
    expect(page.locator(".failed-files")).to_contain_text("broken.pdf")
    page.go_back()
    delete(page, "broken.pdf")


def test_a_document_of_the_corpus_is_taken_out_and_restored(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    page.get_by_role("button", name="Delete: office.txt").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its file stays where it is, and you can restore it.")
    page.keyboard.press("Escape")
    expect(row(page, "office.txt")).to_be_visible()
    delete(page, "office.txt")
    page.get_by_text("1 document taken out").click()
    page.get_by_role("button", name="Restore").click()
    expect(row(page, "office.txt").locator(".status")).to_have_text("Ready")
    expect(page.locator(".hidden-files details")).to_have_count(0)


def test_search_and_status(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    names = page.locator(".document-name")
    expect(names).to_have_count(3)
    page.get_by_label("Search by name").fill("SIGN")
    expect(names).to_have_text(["signals.txt"])
    page.get_by_label("Status").select_option("Failed")
    expect(page.locator(".empty-title")).to_have_text("Nothing found")


def test_metadata_is_edited_and_filtered_by(served: Served, tabs: Open) -> None:
    page = tabs(served, "documents")
    page.get_by_role("button", name="Edit metadata: office.txt").click()
    dialog = page.get_by_role("dialog")
    keys = dialog.get_by_label("Field", exact=True)
    expect(keys).to_have_count(4)
    values = dict(zip([key.input_value() for key in keys.all()], dialog.get_by_label("Value").all(), strict=True))
    values["year"].fill("1.5")
    values["boat"].fill("Kestrel")
    values["draft"].select_option("no")
    values["tags"].fill("door, hours")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".reason")).to_have_text("“year” must be a whole number.")
    values["year"].fill("1911")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "office.txt").locator(".tag")).to_have_text(
        ["boat Kestrel", "year 1911", "draft false", "tags door, hours"], use_inner_text=True
    )
    expect(row(page, "office.txt").locator(".status")).to_have_text("Ready")
    page.goto(f"{served.url}/#/chat")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("year from").fill("1900")
    page.get_by_label("year from").press("Enter")
    ask(page, "Which light number is the signal of pier 80?")
    assert set(page.locator(".card-file").all_inner_texts()) == {"office.txt"}
    page.goto(f"{served.url}/#/documents")
    page.get_by_role("button", name="Edit metadata: office.txt").click()
    for key in ("boat", "year", "tags"):
        position = [each.input_value() for each in keys.all()].index(key)
        dialog.get_by_label("Value").nth(position).fill("")
    dialog.get_by_label("Value").nth([each.input_value() for each in keys.all()].index("draft")).select_option("")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "office.txt").locator(".tag")).to_have_count(0)


@pytest.fixture
def asked_about(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path)
    place.write(office="The harbour office opens at nine.")
    return place


def test_pairs_are_put_right_and_deleted(asked_about: Workplace, tabs: Open) -> None:
    pairs = "Q: When does the office open?\nA: At noon.\nQ: Where is it?\nA: At the harbour."
    with hashed_registered(), chat_server(lambda message: pairs) as model:
        llm = ("llm=openai_compatible", f"models.llm.base_url={model.url}", "models.llm.model=test")
        app = asked_about.load("qa_rewrite", "rerank=none", *llm)
        with serving(app) as served:
            page = tabs(served)
            expect(page.locator(".idea")).to_have_text(["When does the office open?", "Where is it?"])
            page.goto(f"{served.url}/#/documents")
            page.get_by_role("button", name="Questions and answers: office.txt").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.locator(".pair")).to_have_count(2)
            wrong = dialog.locator(".pair", has_text="At noon.")
            wrong.get_by_role("button", name="Edit").click()
            dialog.get_by_label("Answer").fill("At nine.")
            dialog.get_by_role("button", name="Save").click()
            expect(dialog.locator(".pair", has_text="At nine.")).to_contain_text("edited")
            expect(dialog.get_by_role("button", name="Edit")).to_have_count(2)
            dialog.locator(".pair", has_text="At the harbour.").get_by_role("button", name="Delete").click()
            page.get_by_role("dialog").last.get_by_role("button", name="Delete", exact=True).click()
            expect(dialog.locator(".pair")).to_have_count(1)
            page.reload()
            page.get_by_role("button", name="Questions and answers: office.txt").click()
            expect(dialog.locator(".pair")).to_have_count(1)
            expect(dialog.locator(".pair")).to_contain_text("At nine.")
            kept = httpx.get(f"{served.url}/api/qa").json()["pairs"]
            assert [(pair["answer"], pair["edited"]) for pair in kept] == [("At nine.", True)]
