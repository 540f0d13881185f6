"""The one module that touches LazyLLM's private names: how a `Document` is fed, opened and closed from outside.

LazyLLM wants to read, split and embed files itself. The engine does that and hands over finished nodes, for which
LazyLLM has no public door. Every function takes the `Document`; nothing else in confrag reaches behind it.
"""

from __future__ import annotations

import base64
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from confrag.errors import StoreError
from confrag.schema.filters import Filters

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode, Document
    from lazyllm.tools.rag.index_base import IndexBase

ROOT_GROUP = "lazyllm_root"
"""LazyLLM's node group of whole documents."""


def quiet(home: Path | None = None) -> None:
    """Silence LazyLLM and keep it from tracing: call before it is imported, it reads the environment once.

    What it would log are failures that it also raises, or that our stores raise. Variables that the user has set
    stay as they are, and so does a LazyLLM that the application imported earlier.

    Args:
        home: where LazyLLM keeps its log and cache files, instead of ``~/.lazyllm``.
    """
    if "lazyllm" in sys.modules:
        return
    settings = {
        "LOG_LEVEL": "CRITICAL",
        "LOG_FILE_LEVEL": "CRITICAL",
        "LOG_FILE_MODE": "split",  # the other mode runs a thread and a semaphore
        "TRACE_ENABLED": "false",
    }
    if home is not None:
        settings["HOME"] = str(home)
    for name, value in settings.items():
        os.environ.setdefault(f"LAZYLLM_{name}", value)


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Undo what an import inside does to the root logger: LazyLLM and pymilvus call `logging.basicConfig`."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def import_lazyllm(home: Path | None = None) -> None:
    """Import LazyLLM's RAG package, quiet and offline (about 1.5 s); later imports of it are free."""
    quiet(home)
    offline_tokenizer()
    with root_logger_kept(), _pandas_later():
        importlib.import_module("lazyllm.tools.rag")
    _stacks_without_sources()


@contextmanager
def _pandas_later() -> Iterator[None]:
    """Leave pandas, which LazyLLM loads when it is first used, until then: it would be used for one annotation."""
    wrapper = importlib.import_module("lazyllm.thirdparty").pandas
    if wrapper._Wrapper__lib is not None:
        yield
        return
    wrapper._Wrapper__lib = SimpleNamespace(DataFrame=object)
    try:
        yield
    finally:
        wrapper._Wrapper__lib = None


def _stacks_without_sources() -> None:
    """Let LazyLLM look at the stack without reading the source line of every frame.

    It does so for each flow and each transform that is made and uses names only; the lines cost a tenth of a second at
    the first, and more the deeper the caller is.
    """
    lean = SimpleNamespace(**{**vars(inspect), "stack": partial(inspect.stack, 0)})
    for name in ("lazyllm.flow.flow", "lazyllm.tools.rag.transform.base"):
        sys.modules[name].__dict__["inspect"] = lean


def offline_tokenizer() -> None:
    """Give tiktoken the ``gpt2`` vocabulary that LazyLLM ships, so that nothing is downloaded.

    LazyLLM's sentence splitter counts tokens with it, and `import lazyllm.tools.rag` builds such splitters: call this
    before that import. LazyLLM itself is not imported.
    """
    import tiktoken
    from tiktoken.registry import ENCODINGS
    from tiktoken_ext.openai_public import ENDOFTEXT, r50k_pat_str  # type: ignore[import-untyped]

    if "gpt2" in ENCODINGS:
        return
    package = importlib.util.find_spec("lazyllm")
    if package is None or package.origin is None:
        raise ImportError("the package 'lazyllm' is not installed")
    vocabulary = Path(package.origin).parent / "tokenizers" / "r50k_base.tiktoken"
    # Not tiktoken's own loader: it keeps a copy of the file in a cache folder, and reads that the next time.
    lines = [line.split() for line in vocabulary.read_bytes().splitlines() if line]
    ENCODINGS["gpt2"] = tiktoken.Encoding(
        "gpt2",
        pat_str=r50k_pat_str,
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in lines},
        special_tokens={ENDOFTEXT: 50256},
        explicit_n_vocab=50257,
    )


def document_store(doc: Document) -> Any:
    """LazyLLM's `_DocumentStore` of a document, with its stores opened.

    Raises:
        StoreError: a store cannot be opened.
    """
    store = doc._impl.store
    store.vector_initialized_impl  # noqa: B018  (a property that connects; here it fails, not at the first query)
    return store


def activate(doc: Document, group: str) -> None:
    """Make a node group writable and searchable. Embeds nothing.

    All embeddings of the document are activated with it: LazyLLM refuses to add one once the document is open, and a
    `Retriever` made later asks for all of them for its target group.
    """
    doc.activate_group(group)


def write_nodes(doc: Document, nodes: Sequence[DocNode]) -> None:
    """Write finished nodes (text, parent, metadata, embedding) to the stores and indices; embeds nothing.

    A node with the uid of a stored one replaces it. Embeddings may be float32 arrays. Thousands at once are best.

    Raises:
        StoreError: a store fails, or a node's group was not activated.
    """
    store = document_store(doc)
    unknown = sorted({str(node._group) for node in nodes if not store.is_group_active(node._group)})
    if unknown:
        raise StoreError(f"nodes of groups that are not active cannot be written: {', '.join(unknown)}")
    store.update_nodes(list(nodes), copy=True)


def delete_documents(doc: Document, doc_ids: Collection[str], groups: Collection[str] | None = None) -> None:
    """Remove every node of the documents from stores and indices; of these groups only, where given.

    Raises:
        StoreError: a store fails.
    """
    if doc_ids:
        _delete(doc, "docid", list(doc_ids), groups)


def delete_nodes(doc: Document, group: str, uids: Collection[str]) -> None:
    """Remove nodes of one group by uid from stores and indices.

    Raises:
        StoreError: a store fails.
    """
    if uids:
        _delete(doc, "uid", list(uids), [group])


def _delete(doc: Document, key: str, values: list[str], groups: Collection[str] | None) -> None:
    store = document_store(doc)
    for group in store.activated_groups() if groups is None else groups:
        collection = store._gen_collection_name(group)
        # LazyLLM's own removal by document tells its indices neither uids nor the right group.
        uids = _segments(store).uids(collection, {key: values})
        if not uids:
            continue
        # Vectors first, by the uids that the text knows: what is interrupted here can be repeated.
        for part in reversed(_parts(store)):
            part.delete(collection, {"uid": uids})
        for index in store._indices.values():
            index.remove(uids, group)


def drop_group(doc: Document, group: str) -> None:
    """Remove everything of a group, also of one that the document does not declare.

    Raises:
        StoreError: a store fails.
    """
    store = document_store(doc)
    for part in reversed(_parts(store)):
        part.delete(store._gen_collection_name(group))
    for index in store._indices.values():
        index.remove(None, group)


def refresh(doc: Document) -> None:
    """Let stores and indices see what another process has written.

    Raises:
        StoreError: a store cannot be opened once more.
    """
    store = document_store(doc)
    for part in _parts(store):
        part.refresh()
    for index in store._indices.values():
        index.remove(None)


def stored_uids(doc: Document, group: str, doc_ids: Collection[str]) -> list[str]:
    """Uids of the stored nodes of some documents."""
    store = document_store(doc)
    uids: list[str] = _segments(store).uids(store._gen_collection_name(group), {"docid": list(doc_ids)})
    return uids


def register_index(doc: Document, name: str, index: IndexBase) -> None:
    """Make `index` answer ``Retriever(..., index=name)``, on every store (LazyLLM allows it on the map store only).

    It is told of every node that is written or deleted from now on; ``default`` replaces LazyLLM's own.
    """
    document_store(doc)._indices[name] = index


def needs_index(doc: Document) -> bool:
    """Whether the document's store leaves the search by vectors to an index (LazyLLM's map store does)."""
    return bool(document_store(doc)._impl.supports_index_registration)


def persist(doc: Document) -> None:
    """Make sure that what was written outlasts this process, however it ends.

    Raises:
        StoreError: a store fails.
    """
    for part in _parts(document_store(doc)):
        part.persist()


def finish(doc: Document) -> None:
    """Bring the stores into the state in which they answer fast, after writing: Milvus flushes and builds its index.

    Raises:
        StoreError: the index cannot be built.
    """
    for part in _parts(document_store(doc)):
        part.finish()


def close(doc: Document) -> None:
    """Release the files, locks and threads of the document's stores. The document cannot be used after it."""
    if not doc._impl._lazy_init.flag:
        return
    store = doc._impl.store
    store._indices.clear()
    for part in _parts(store):
        part.close()


def count(doc: Document, group: str) -> int:
    """Number of stored nodes of a group."""
    store = document_store(doc)
    return int(_segments(store).count(store._gen_collection_name(group)))


def count_vectors(doc: Document, group: str) -> int:
    """Number of stored vectors of a group, of the embedding that has most."""
    store = document_store(doc)
    return int(_parts(store)[-1].count_vectors(store._gen_collection_name(group)))


class StoredNodes:
    """The nodes of a document by group, for indices of our own (see `confrag.build.indices.nodes.NodeReader`)."""

    def __init__(self, doc: Document) -> None:
        self._store = document_store(doc)

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        """The nodes with these uids, in their order.

        Raises:
            StoreError: one of them is not stored.
        """
        if not uids:
            return []
        found = {node.uid: node for node in self._store.get_nodes(uids=list(uids), group=group)}
        missing = [uid for uid in uids if uid not in found]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(uids)} nodes that the index of group '{group}' found are not stored "
                f"(first: {missing[0]}): index and store are out of step; ingest again"
            )
        return [found[uid] for uid in uids]

    def node(self, group: str, uid: str) -> DocNode | None:
        """The node with this uid; None when there is none."""
        return next(iter(self._store.get_nodes(uids=[uid], group=group)), None)

    def children(self, group: str, parents: Sequence[str]) -> list[DocNode]:
        """The nodes of a group that were cut from these ones."""
        return list(self._store.get_nodes(group=group, parent=list(parents)))

    def numbered(self, group: str, document: str, numbers: Sequence[int]) -> list[DocNode]:
        """The nodes of a group with these numbers in a document, as far as there are such."""
        return list(self._store.get_nodes(group=group, doc_ids=[document], numbers=list(numbers))) if numbers else []

    def uids(self, group: str) -> list[str]:
        """Uids of the nodes of the group, in order."""
        return sorted(_segments(self._store).uids(self._store._gen_collection_name(group), {}))

    def texts(self, group: str, uids: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
        """(uid, text) of the nodes of the group, by uid; of these only, where given."""
        return iter(_segments(self._store).texts(self._store._gen_collection_name(group), uids))

    def matching(self, group: str, filters: Filters) -> set[str]:
        """Uids of the nodes whose document's metadata match."""
        found: set[str] = _segments(self._store).matching(self._store._gen_collection_name(group), filters)
        return found

    def vectors(
        self, group: str, embed_key: str, uids: Sequence[str] | None = None
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of the group; of these only, where given, in any order."""
        wanted = self.uids(group) if uids is None else uids
        found, matrix = _parts(self._store)[-1].vectors(self._store._gen_collection_name(group), embed_key, wanted)
        return list(found), matrix


def embeds(doc: Document) -> dict[str, Callable[[str], Any]]:
    """The document's embedding functions as LazyLLM calls them, by embedding key."""
    return dict(doc._impl.embed)


def place(
    node: DocNode,
    *,
    uid: str,
    group: str,
    parent: DocNode | None,
    number: int,
    metadata: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> DocNode:
    """Give a node its final id and place; LazyLLM would draw a random id and number it while storing.

    Args:
        node: fresh from a reader or transform.
        uid: its id.
        group: its node group.
        parent: the node it was cut from.
        number: its place among the nodes of its group in the document, from 1.
        metadata: what it knows of its place in the file; its own metadata have precedence.
        shared: metadata of the whole document.
    """
    node._uid = uid
    node._group = group
    node.parent = parent
    node._metadata = {**metadata, **node.metadata, "lazyllm_store_num": number}
    node._global_metadata = dict(shared)
    return node


def parent_uid(node: DocNode) -> str:
    """Id of the node that a node was cut from; empty for a whole document. Loads nothing."""
    return str(getattr(node._parent, "uid", node._parent) or "")


def to_record(node: DocNode) -> dict[str, Any]:
    """A node that was found, as plain data; without its vectors."""
    return {
        "uid": node.uid,
        "text": node.text,
        "answer": getattr(node, "answer", None),
        "group": node.group,
        "parent": parent_uid(node),
        "metadata": dict(node._metadata),
        "global_metadata": dict(node.global_metadata),
        "score": node.similarity_score,
        "rerank_score": node.relevance_score,
        "ranked_by": getattr(node, "ranked_by", None),
        "routes": list(getattr(node, "routes", ())),
    }


def from_record(record: Mapping[str, Any]) -> DocNode:
    """The node of a record."""
    from lazyllm.tools.rag.doc_node import DocNode, QADocNode

    kwargs = {key: record[key] for key in ("uid", "group", "parent")}
    for key in ("metadata", "global_metadata"):
        kwargs[key] = dict(record[key])
    if record["answer"] is None:
        node = DocNode(text=record["text"], **kwargs)
    else:
        node = QADocNode(query=record["text"], answer=record["answer"], **kwargs)
    node.similarity_score, node.relevance_score = record["score"], record["rerank_score"]
    node.ranked_by, node.routes = record["ranked_by"], tuple(record["routes"])
    return node


def set_pieces(splitter: Any, pieces: Callable[[str], tuple[list[str], bool]]) -> Any:
    """Let a text splitter of LazyLLM's cut texts by `pieces`: text -> (pieces, whether they are whole sentences)."""
    splitter._get_splits_by_fns = pieces
    return splitter


def prompted(chat: Any, prompt: Any) -> Any:
    """A share of a chat module with a prompt, and without LazyLLM's own words before it ("You are ChatGPT ...")."""
    module = chat.share(prompt=prompt)
    module._prompt._set_model_configs(system="")
    return module


def stream_to(sink: Callable[[str], None]) -> dict[str, Any]:
    """The `stream_output` argument of a chat module that hands each piece of the answer to `sink`."""

    def receive(payload: Mapping[str, Any]) -> None:
        if payload.get("tag") == "text" and payload.get("delta"):
            sink(str(payload["delta"]))

    return {"_stream_sink": receive}


def response_headers(error: BaseException) -> Mapping[str, str]:
    """Headers of the server's answer behind an error of a chat module; empty where there was none.

    LazyLLM keeps the status of a refused request and drops its headers, Retry-After among them. The frame that looked
    at the answer still has it.
    """
    import requests

    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                if isinstance(value, requests.Response):
                    return value.headers
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return {}


def without_codes(chat: Any) -> Any:
    """A chat module that leaves out of its log what a server sent with a refusal: it may have sent the key back."""

    def nothing(failure: object) -> None:
        """The status is in the error."""

    chat._log_failure = nothing
    return chat


class OnlineWire:
    """What LazyLLM knows of a provider's interface for embeddings or reranking.

    Attributes:
        url: where requests go.
        headers: of each request, the key among them.

    Args:
        module: an OnlineEmbeddingModule.
        role: ``embed`` or ``rerank``.
        base_url: instead of the provider's own address; ends with a slash.
    """

    def __init__(self, module: Any, role: str, base_url: str | None) -> None:
        self._module = module
        url = str(module._get_embed_url(base_url) if base_url else module._embed_url)
        if role == "rerank" and url.endswith("/embeddings"):  # LazyLLM takes some rerankers for embedders here
            url = url.removesuffix("embeddings") + "rerank"
        self.url = url
        self.headers: dict[str, str] = dict(module._header)

    def embed_request(self, texts: list[str]) -> Mapping[str, Any]:
        """The body that asks for the vectors of texts, no more than the module's `batch_size`."""
        (body,) = self._module._encapsulated_data(texts)
        return cast("Mapping[str, Any]", body)

    def embed_response(self, answer: Any, count: int) -> list[list[float]]:
        """The vectors in an answer."""
        return cast("list[list[float]]", self._module._parse_response(answer, input=[""] * count))

    def rerank_request(self, query: str, texts: list[str]) -> Mapping[str, Any]:
        """The body that asks for the scores of texts."""
        # As LazyLLM's own `forward` does: not every provider's module puts the model in by itself.
        named = {"model": self._module._embed_model_name}
        body = self._module._encapsulated_data(query, documents=texts, top_n=len(texts), **named)
        return cast("Mapping[str, Any]", body)

    def rerank_response(self, answer: Any) -> list[tuple[int, float]]:
        """Pairs of a text's number and its score."""
        return cast("list[tuple[int, float]]", self._module._parse_response(answer, input=""))


def in_this_session(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, to be made in another thread as if it were made here: LazyLLM keeps the state of a run by thread."""
    import lazyllm  # nothing else here needs it before `import_lazyllm`

    session, state = lazyllm.globals._sid, {key: dict(value) for key, value in lazyllm.locals._data.items()}

    def made() -> Any:
        lazyllm.globals._init_sid(session)
        with lazyllm.locals._scope():
            lazyllm.locals._update(state)
            return call()

    return made


def web_module() -> type[Any]:
    """LazyLLM's WebModule, with a session for each question: gradio runs the questions of all visitors in one context.

    Raises:
        ImportError: gradio is not installed.
    """
    from lazyllm.common.globals import new_session
    from lazyllm.tools.webpages.webmodule import WebModule

    class Page(WebModule):  # type: ignore[misc]
        def _respond_stream(self, *args: Any) -> Iterator[Any]:
            # Read to its end first: gradio takes each piece from a generator in another thread.
            with new_session():
                pieces = list(super()._respond_stream(*args))
            yield from pieces

    return Page


def _parts(store: Any) -> list[Any]:
    """The stores behind a document store: segments and vectors, or one that is both."""
    store = store._impl
    return [store.segment_store, store.vector_store] if hasattr(store, "vector_store") else [store]


def _segments(store: Any) -> Any:
    return _parts(store)[0]


__all__ = [
    "ROOT_GROUP",
    "OnlineWire",
    "StoredNodes",
    "activate",
    "close",
    "count",
    "count_vectors",
    "delete_documents",
    "delete_nodes",
    "document_store",
    "drop_group",
    "embeds",
    "finish",
    "from_record",
    "import_lazyllm",
    "in_this_session",
    "needs_index",
    "offline_tokenizer",
    "parent_uid",
    "persist",
    "place",
    "prompted",
    "quiet",
    "refresh",
    "register_index",
    "response_headers",
    "root_logger_kept",
    "stored_uids",
    "stream_to",
    "to_record",
    "without_codes",
    "write_nodes",
]
