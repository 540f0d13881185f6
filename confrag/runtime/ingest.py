"""From files to rows in the store: read, cut, embed, write."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lazyllm.tools.rag import DocNode, Document, NodeTransform

from confrag.build.nodes import make_nodes
from confrag.build.private import finish, write_nodes
from confrag.build.progress import ProgressFn
from confrag.build.readers import read
from confrag.build.readers.section import UnreadableFileError
from confrag.errors import UserError
from confrag.plan.model import CorpusPlan, GroupPlan, Plan
from confrag.registry.readers import EXTENSIONS
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.corpus import Scan, SourceFile, scan
from confrag.runtime.results import CorpusReport, FailedFile

__all__ = ["find_files", "ingest"]

WINDOW = 4096
"""Nodes that are held before they are embedded and written."""


@dataclass
class _Count:
    """The stages of the work, as far as they have got."""

    progress: ProgressFn
    done: int = 0
    to_do: int = 0
    nodes: dict[str, int] = field(default_factory=dict)


def find_files(corpus: CorpusPlan) -> Scan:
    """The files of a corpus; nothing is read yet.

    Raises:
        UserError: the corpus does not exist or is empty; with ``corpus.on_error=fail``, something in it that no
            reader takes.
    """
    found = scan(corpus.paths, corpus.include, corpus.exclude, {*EXTENSIONS, *corpus.readers})
    if found.skipped and corpus.on_error == "fail":
        raise UserError(f"{found.skipped[0].name}: {found.skipped[0].reason} (corpus.on_error=fail)")
    return found


def ingest(
    plan: Plan,
    found: Scan,
    document: Document,
    embedders: Mapping[str, CachedEmbedder],
    transforms: Mapping[str, NodeTransform],
    progress: ProgressFn,
) -> CorpusReport:
    """Fill an empty store with the files of a corpus.

    Raises:
        UserError: no file can be read; with ``corpus.on_error=fail``, the first one that cannot.
        StoreError: the store could not be written.
    """
    corpus = plan.corpus
    failed = [FailedFile(skipped.name, skipped.reason) for skipped in found.skipped]
    digest = hashlib.sha256()
    count = _Count(progress, nodes={group.name: 0 for group in plan.groups})
    window: dict[str, list[DocNode]] = {}
    read_files = 0
    for number, file in enumerate(found.files, start=1):
        try:
            nodes = _file_nodes(file, plan, transforms, digest)
        except UnreadableFileError as error:
            if corpus.on_error == "fail":
                raise UserError(f"{file.name}: {error.reason} (corpus.on_error=fail)") from None
            failed.append(FailedFile(file.name, error.reason))
        else:
            read_files += 1
            for group, members in nodes.items():
                window.setdefault(group, []).extend(members)
        progress("read", number, len(found.files))
        if sum(map(len, window.values())) >= WINDOW:
            _store(window, plan.groups, document, embedders, count)
            window = {}
    if not read_files:
        reasons = "; ".join(f"{entry.file}: {entry.reason}" for entry in failed[:3])
        raise UserError(f"corpus.path: no file could be read ({reasons})")
    _store(window, plan.groups, document, embedders, count)
    progress("index", 0, 1)
    finish(document)
    progress("index", 1, 1)
    return CorpusReport(
        version=digest.hexdigest()[:12],
        files=len(found.files),
        added=read_files,
        changed=0,
        removed=0,
        unchanged=0,
        failed=tuple(failed),
        nodes=count.nodes,
        embedded=sum(embedder.computed for embedder in embedders.values()),
        embedding_cache_hits=sum(embedder.hits for embedder in embedders.values()),
    )


def _file_nodes(
    file: SourceFile, plan: Plan, transforms: Mapping[str, NodeTransform], digest: hashlib._Hash
) -> dict[str, list[DocNode]]:
    sections = read(file.path, plan.corpus.readers)
    try:
        content = hashlib.sha256(file.path.read_bytes()).hexdigest()
    except OSError as error:
        raise UnreadableFileError(file.path, error.strerror or str(error)) from None
    nodes = make_nodes(file.name, str(file.path), sections, plan.groups, transforms)
    digest.update(f"{file.name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return nodes


def _store(
    window: Mapping[str, list[DocNode]],
    groups: Sequence[GroupPlan],
    document: Document,
    embedders: Mapping[str, CachedEmbedder],
    count: _Count,
) -> None:
    """Embed the nodes of a window and write them."""
    work = [(group, key, window.get(group.name, [])) for group in groups for key in group.embed]
    count.to_do += sum(len(nodes) for _, _, nodes in work)
    vectors: dict[str, dict[str, object]] = {}
    for _, key, nodes in work:
        texts = [node.text for node in nodes]

        def report(stage: str, done: int, total: int, base: int = count.done) -> None:
            count.progress("embed", base + done, count.to_do)

        for node, vector in zip(nodes, embedders[key].passages(texts, report), strict=True):
            vectors.setdefault(node.uid, {})[key] = vector
        count.done += len(texts)
        count.progress("embed", count.done, count.to_do)
    for node in _all(window):
        if node.uid in vectors:
            node.embedding = vectors[node.uid]
    write_nodes(document, list(_all(window)))
    for group in groups:
        count.nodes[group.name] += len(window.get(group.name, []))


def _all(window: Mapping[str, list[DocNode]]) -> Iterator[DocNode]:
    for nodes in window.values():
        yield from nodes
