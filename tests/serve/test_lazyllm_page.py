"""LazyLLM's own page (`serve.ui=lazyllm`): it asks the engine, keeps visitors apart, and shows text as text."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from confrag.errors import MissingDependencyError, UserError
from confrag.schema.history import History
from confrag.schema.serve import ServeSpec
from confrag.serve.lazyllm_page import check_page
from confrag.serve.security import Tokens
from tests.chat import Fault, chat_server
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving
from tests.serve.test_server import command, refused

FACT = "Buoy seven is painted green. It cannot be <b>missed</b>."


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with the page; its model repeats the last message that it was sent."""
    pytest.importorskip("gradio", reason="LazyLLM's page needs gradio: pip install 'confrag[web]'")
    place = Workplace(tmp_path_factory.mktemp("page"))
    place.write(buoys=FACT)
    with hashed_registered(), chat_server(lambda said: Fault(400) if "broken" in said else said) as model:
        llm = ("llm=openai_compatible", f"models.llm.base_url={model.url}", "models.llm.model=test")
        app = place.load("quickstart", *llm, "recall=lexical")
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with serving(app, ui="lazyllm") as running:
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
            yield running
            running.service.stop()  # as a signal does: the clients hold connections open


def ask(served: Served, question: str, *turns: str) -> str:
    """What the page shows as the answer of a conversation that has had these turns, the first one the user's."""
    from gradio_client import Client

    client = Client(f"{served.url}/lazyllm/", verbose=False)
    roles = ("user", "assistant") * len(turns)
    said = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in zip(roles, turns, strict=False)
    ]
    _, asked = client.predict({"text": question, "files": []}, said, api_name="/_prepare")
    shown, log = client.predict(bool(turns), asked, False, True, api_name="/_respond_stream")
    assert log == ""
    assert shown[-1]["role"] == "assistant"
    content: list[dict[str, Any]] = shown[-1]["content"]
    return str(content[0]["text"])


def test_the_page_is_there(page: Served) -> None:
    with httpx.Client(base_url=page.url, timeout=30) as client:
        for path in ("/", "/lazyllm"):
            response = client.get(path)
            assert (response.status_code, response.headers["location"]) == (307, "/lazyllm/")
        response = client.get("/lazyllm/")
        assert response.status_code == 200
        assert "window.gradio_config" in response.text
        assert "quickstart" in response.text
        assert "MediumChunk by bm25" in response.text  # the graph
        assert '"analytics_enabled":false' in response.text
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "eval" not in policy
        # The rest of the service is as strict as ever.
        assert "unsafe-inline" not in client.get("/api/about").headers["content-security-policy"]


def test_an_answer_with_its_sources(page: Served) -> None:
    shown = ask(page, "Which buoy is painted green?")
    answer, _, sources = shown.partition("**Sources**")
    assert "Which buoy is painted green?" in answer
    assert sources.strip().startswith("1. **buoys\\.txt**: Buoy seven is painted green\\.")
    assert page.service.metrics.answered > 0


def test_text_stays_text(page: Served, tmp_path: Path) -> None:
    """WebModule reads the images of an answer from disk and from other hosts, and shows a JSON with files as files."""
    picture = tmp_path / "secret.png"
    picture.write_bytes(b"not for everybody")
    shown = ask(page, f"Which buoy is green? ![picture]({picture}) <script>x</script>")
    assert f"!\\[picture]({picture})" in shown
    assert "base64" not in shown
    assert "<" not in shown.replace("\\<", "")
    assert "&lt;b&gt;missed" in shown  # as the model repeats it
    assert "\\<b\\>missed" in shown  # in the source


def test_what_was_said_before(page: Served) -> None:
    first = ask(page, "Which buoy is <green>?")
    second = ask(page, "And the other buoy?", "Which buoy is <green>?", first)
    answer, _, _ = second.partition("**Sources**")
    # What was shown is told to the model as it was said: no sources, no escapes.
    assert "user: Which buoy is &lt;green&gt;?\nassistant: Passages:" in answer
    assert "&amp;" not in answer
    assert "buoys\\.txt" not in answer


def test_visitors_are_kept_apart(page: Served) -> None:
    together = threading.Barrier(8)

    def visit(number: int) -> str:
        together.wait(30)
        return ask(page, f"Which buoy has visitor{number}?", f"I am visitor{number}.", f"Hello visitor{number}.")

    with ThreadPoolExecutor(8) as pool:
        for number, shown in enumerate(pool.map(visit, range(8))):
            answer = shown.partition("**Sources**")[0]
            assert f"user: I am visitor{number}.\nassistant: Hello visitor{number}." in answer
            assert f"Question: Which buoy has visitor{number}?" in answer
            assert not [other for other in range(8) if other != number and f"visitor{other}" in answer]


@pytest.mark.slow
def test_each_question_has_a_session_of_its_own(tmp_path: Path) -> None:
    """gradio runs all visitors' questions in the context of its server, where LazyLLM would keep one state for all."""
    pytest.importorskip("gradio", reason="LazyLLM's page needs gradio: pip install 'confrag[web]'")
    from lazyllm import globals as session

    from confrag.runtime.web_module import web_page

    seen = []

    def answer(query: str, history: History) -> str:
        seen.append(session["global_parameters"].get("visitor"))
        session["global_parameters"]["visitor"] = query
        return "An answer."

    page = web_page(answer, "title", "graph", tmp_path)
    respond = next(event.fn for event in page.fns.values() if event.name == "_respond_stream")
    for question in ("one", "two"):
        ((shown, log),) = respond(False, [{"role": "user", "content": question}], False, True)
        assert (shown[-1]["content"], log) == ("An answer.", "")
    assert seen == [None, None]


def test_a_question_that_fails(page: Served) -> None:
    shown = ask(page, "Which buoy is broken?")
    assert shown.startswith("the chat model &#x27;test&#x27; at ")
    assert "400" in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_an_open_page_does_not_hold_up_the_end(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="LazyLLM's page needs gradio: pip install 'confrag[web]'")
    with command(tmp_path, "serve.ui=lazyllm", "serve.shutdown_s=600") as running:
        url = running.ready().url
        with httpx.stream("GET", f"{url}/lazyllm/gradio_api/heartbeat/visitor", timeout=30) as beat:
            assert next(beat.iter_lines()) == "data: ALIVE"
            running.end(signal.SIGTERM)


@pytest.mark.parametrize(
    ("settings", "tokens", "message"),
    [
        (
            {"host": "0.0.0.0"},
            Tokens(None, "secret"),
            "serve.ui = 'lazyllm', serve.host = '0.0.0.0': LazyLLM's page sends no token, so that everybody who "
            "reaches it could ask. Take serve.host=127.0.0.1, or the page that does: serve.ui=page",
        ),
        (
            {"write_token_env": "MY_TOKEN"},
            Tokens(None, "secret"),
            "serve.ui = 'lazyllm': LazyLLM's page sends no token, and MY_TOKEN holds one. Unset it, or take the page "
            "that asks for it: serve.ui=page",
        ),
        (
            {"workers": 2},
            Tokens(None, None),
            "serve.ui = 'lazyllm', serve.workers = 2: the state of LazyLLM's page lies in one process. Set "
            "serve.workers=1, or take serve.ui=page",
        ),
    ],
)
def test_where_it_cannot_be(settings: dict[str, Any], tokens: Tokens, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_page(ServeSpec(ui="lazyllm", **settings), tokens)
    assert str(refusal.value) == message
    check_page(ServeSpec(ui="page", **settings), tokens)


def test_without_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingDependencyError) as refusal:
        check_page(ServeSpec(ui="lazyllm"), Tokens(None, None))
    assert str(refusal.value) == (
        "serve.ui=lazyllm needs the package 'gradio', which is not installed. Install it with: "
        'pip install "confrag[web]"'
    )


def test_it_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "serve.ui=lazyllm", CONFRAG_READ_TOKEN="secret")
    assert code == 2
    assert said.startswith("confrag: serve.ui = 'lazyllm': LazyLLM's page sends no token, and CONFRAG_READ_TOKEN holds")
    assert not (tmp_path / ".confrag").exists()
