"""The models of the catalogue, fetched and run."""

from __future__ import annotations

import json
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from confrag.build.models.fetch import ensure, verify
from confrag.build.models.local import build_chat_server, build_embed, build_rerank
from confrag.build.models.pool import TextPool
from confrag.build.models.protocols import Embedder, RerankModel
from confrag.errors import UserError
from confrag.registry.catalogue import CATALOGUE, find

pytestmark = pytest.mark.models

PASSAGES = [
    "The Eiffel Tower was finished in 1889 and is 330 metres high.",
    "Bread dough has to rise in a warm place for about an hour before it is baked.",
    "A laminar boundary layer becomes turbulent when the Reynolds number is large enough.",
    "The quarterly profit of the bank fell because more loans were not paid back.",
]
CHINESE = ["猫坐在垫子上睡觉。", "银行的季度利润下降了。", "长城是中国古代的伟大建筑。"]
ODD = ["", " ", "a\0b", "half a pair \ud800", "word " * 1500, "\ufdfa" * 500, "👩‍🚀" * 50]


def needs_platform(name: str) -> None:
    platforms = CATALOGUE[name].platforms
    if platforms and sysconfig.get_platform() not in platforms:
        pytest.skip(f"{name} runs on {', '.join(platforms)}")


def needs_llama() -> None:
    # importorskip would import it before the engine can set OpenMP up
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")


def model_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("confrag-model")]


DENSE = [name for name, model in CATALOGUE.items() if model.role == "embed" and not model.sparse]


@pytest.fixture(scope="module", params=DENSE)
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    needs_platform(request.param)
    model = build_embed(model=request.param)
    yield model
    model.close()


@pytest.mark.parametrize("name", CATALOGUE)
def test_fetched_files_are_those_of_the_catalogue(name: str) -> None:
    needs_platform(name)
    ensure(name)
    assert verify(find(name)) == ()


def test_protocols(embedder: Embedder) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.dim == 384


def test_vectors_have_unit_length(embedder: Embedder) -> None:
    vectors = embedder.passages(PASSAGES)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.query("How high is the tower?").shape == (384,)
    assert embedder.passages([]).shape == (0, 384)


def test_a_vector_depends_on_its_text_alone(embedder: Embedder) -> None:
    texts = [*PASSAGES, "A short one.", " ".join(PASSAGES * 3), *CHINESE]
    together = embedder.passages(texts)
    np.testing.assert_array_equal(together, [embedder.passages([text])[0] for text in texts])
    np.testing.assert_array_equal(together[::-1], embedder.passages(texts[::-1]))
    np.testing.assert_array_equal(embedder.passages([texts[0], texts[1], texts[0]]), together[[0, 1, 0]])


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("When was the Eiffel Tower built?", 0),
        ("how long must dough rest", 1),
        ("transition to turbulence", 2),
        ("Why did the bank earn less?", 3),
    ],
)
def test_the_right_passage_is_nearest(embedder: Embedder, question: str, place: int) -> None:
    assert np.argmax(embedder.passages(PASSAGES) @ embedder.query(question)) == place


def test_odd_texts(embedder: Embedder) -> None:
    vectors = embedder.passages(ODD)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite([embedder.query(text) for text in ODD if len(text) < 200]).all()


def test_progress(embedder: Embedder) -> None:
    reports: list[tuple[str, int, int]] = []
    embedder.passages([f"{text} {i}" for i in range(5) for text in PASSAGES], lambda *report: reports.append(report))
    assert {report[0] for report in reports} == {"embed"}
    assert reports[-1] == ("embed", 20, 20)


def test_many_threads_ask_at_once(embedder: Embedder) -> None:
    alone = [embedder.query(text) for text in PASSAGES]
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(embedder.query, PASSAGES * 8))
    np.testing.assert_array_equal(asked, alone * 8)


def test_an_interrupt_is_prompt_and_the_model_goes_on(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{i} {' '.join(PASSAGES)}" for i in range(500)]
    computed: list[str] = []
    each = TextPool.each

    def counted(pool: TextPool, compute: Callable[[str], Any], *rest: Any) -> list[Any]:
        return each(pool, lambda text: (computed.append(text), compute(text))[1], *rest)

    monkeypatch.setattr(TextPool, "each", counted)

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedder.passages(texts, interrupt)
    assert 0 < len(computed) < len(texts) / 2
    assert embedder.passages(PASSAGES[:1]).shape == (1, 384)


@pytest.mark.parametrize("name", DENSE)
def test_closing_ends_threads(name: str) -> None:
    needs_platform(name)
    before = len(model_threads())
    model = build_embed(model=name)
    model.passages(PASSAGES)
    assert len(model_threads()) > before
    model.close()
    model.close()
    assert len(model_threads()) == before
    with pytest.raises(RuntimeError, match="closed"):
        model.query("still there?")


def test_chinese() -> None:
    needs_platform("e5-small-multilingual")
    model = build_embed(model="e5-small-multilingual")
    try:
        vectors = model.passages(CHINESE)
        for question, place in [
            ("小猫在哪里？", 0),
            ("银行赚了多少钱？", 1),
            ("Where is the cat?", 0),
            ("Great Wall", 2),
        ]:
            assert np.argmax(vectors @ model.query(question)) == place, question
        np.testing.assert_array_equal(model.passages(["a\0b"]), model.passages(["a b"]))
    finally:
        model.close()


def test_the_engine_with_its_own_prefixes_takes_no_others() -> None:
    needs_platform("e5-small-multilingual")
    with pytest.raises(UserError, match="leave out query_prefix and passage_prefix"):
        build_embed(model="e5-small-multilingual", query_prefix="query: ")


def test_a_folder_of_ones_own_with_prefixes_and_pooling(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.symlink_to(ensure("bge-small-en"))
    plain = build_embed(model="bge-small-en")
    models = [
        plain,
        prefixed := build_embed(model=str(own), query_prefix="question: ", passage_prefix="text: "),
        mean := build_embed(model=str(own), pooling="mean"),
        short := build_embed(model=str(own), max_length=8),
        long := build_embed(model=str(own), max_length=1024),
    ]
    try:
        text = PASSAGES[0]
        np.testing.assert_array_equal(prefixed.query(text), plain.query(f"question: {text}"))
        np.testing.assert_array_equal(prefixed.passages([text])[0], plain.query(f"text: {text}"))
        assert 0.5 < plain.query(text) @ mean.query(text) < 0.999
        assert short.query(text) @ short.query(" ".join([*text.split()[:8], "something else"])) > 0.9999
        with pytest.raises(UserError, match=r"(?s)failed on a text of 1024 tokens: .* lower max_length"):
            long.query("word " * 2000)
    finally:
        for model in models:
            model.close()


def test_an_embedder_is_no_reranker() -> None:
    with pytest.raises(UserError, match="is not a reranker with one score a pair: its output has the shape"):
        build_rerank(model=str(ensure("bge-small-en")))


@pytest.fixture(scope="module")
def reranker() -> Iterator[RerankModel]:
    model = build_rerank(model="ms-marco-minilm")
    yield model
    model.close()


def test_rerank_order(reranker: RerankModel) -> None:
    assert isinstance(reranker, RerankModel)
    scores = reranker.scores("How high is the Eiffel Tower?", PASSAGES)
    assert scores.shape == (4,)
    assert scores.dtype == np.float32
    assert np.argmax(scores) == 0
    assert np.argmax(reranker.scores("When does a flow become turbulent?", PASSAGES)) == 2


def test_a_score_depends_on_its_pair_alone(reranker: RerankModel) -> None:
    query = "What happened to the bank?"
    together = reranker.scores(query, [*PASSAGES, PASSAGES[0]])
    np.testing.assert_array_equal(together[:4], [reranker.scores(query, [text])[0] for text in PASSAGES])
    assert together[4] == together[0]


def test_rerank_odd_texts(reranker: RerankModel) -> None:
    assert reranker.scores("anything", []).shape == (0,)
    assert np.isfinite(reranker.scores("word " * 3000, ODD)).all()
    reranker.scores("", [""])


@pytest.fixture(scope="module")
def chat_server() -> Iterator[Any]:
    needs_llama()
    server = build_chat_server(model="smollm2-135m")
    yield server
    server.close()


def request(server: Any, content: str, **options: object) -> urllib.request.Request:
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 30, "temperature": 0, **options}
    headers = {"Content-Type": "application/json"}
    return urllib.request.Request(f"{server.base_url}chat/completions", json.dumps(body).encode(), headers)


def ask(server: Any, content: str) -> str:
    with urllib.request.urlopen(request(server, content), timeout=60) as response:
        answer: str = json.load(response)["choices"][0]["message"]["content"]
    return answer


def test_chat_answers(chat_server: Any) -> None:
    assert chat_server.base_url.startswith("http://127.0.0.1:")
    assert chat_server.base_url.endswith("/v1/")
    prompt = f"Context: {PASSAGES[0]}\nQuestion: How high is the Eiffel Tower? Answer briefly."
    assert "330" in ask(chat_server, prompt)


def test_chat_streams(chat_server: Any) -> None:
    with urllib.request.urlopen(request(chat_server, "Count from 1 to 5.", stream=True), timeout=60) as response:
        events = [line[6:] for line in response.read().decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    pieces = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
    assert len([piece for piece in pieces if piece]) > 3
    assert "".join(pieces) == ask(chat_server, "Count from 1 to 5.")


def test_concurrent_requests_all_get_an_answer(chat_server: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(chat_server, f"Repeat the number {i}."), range(8)))
    assert all(answers)


def test_a_prompt_beyond_the_context_is_an_error(chat_server: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(chat_server, "word " * 3000)
    assert error.value.code == 400
    detail = json.load(error.value)["error"]
    assert detail["type"] == "exceed_context_size_error"
    assert "exceeds the available context size (2048 tokens)" in detail["message"]


def test_the_path_of_the_model_is_not_told(chat_server: Any) -> None:
    with urllib.request.urlopen(f"{chat_server.base_url}models", timeout=10) as response:
        listing = response.read().decode()
    assert json.loads(listing)["data"][0]["id"] == "smollm2-135m"
    assert str(Path.home()) not in listing


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_closing_frees_port_and_threads_and_nothing_is_printed(
    chat_server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(chat_server, "Hello")  # the first one of a process leaves threads for the next ones
    capfd.readouterr()
    before = native_threads()
    server = build_chat_server(model="smollm2-135m", context=512)
    ask(server, "Hello")
    assert native_threads() > before
    server.close()
    server.close()
    assert eventually(lambda: native_threads() <= before)
    with pytest.raises(urllib.error.URLError, match="refused"):
        ask(server, "Hello")
    assert capfd.readouterr() == ("", "")
