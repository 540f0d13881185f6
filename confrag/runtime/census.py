"""What a collection holds, compared with what it should hold, and told in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from lazyllm.tools.rag import Document

from confrag.build.private.store import count, count_vectors
from confrag.errors import UserError
from confrag.plan.model import GroupPlan, Plan
from confrag.runtime.asking import Asker
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.corpus import Scan
from confrag.runtime.manifest import FileRecord, Manifest
from confrag.runtime.results import CorpusReport, FailedFile
from confrag.runtime.work import Work

__all__ = ["Effort", "as_it_is", "damage", "effort", "report_of"]


class Effort(NamedTuple):
    """What models had to do.

    Attributes:
        embedded: texts that went through an embedding model.
        embedding_hits: texts whose vectors came from the cache.
        asked: calls of chat models that write nodes.
        reply_hits: texts about which they had written before.
    """

    embedded: int = 0
    embedding_hits: int = 0
    asked: int = 0
    reply_hits: int = 0

    def since(self, before: Effort) -> Effort:
        """What came on top of an earlier count."""
        return Effort(*(now - then for now, then in zip(self, before, strict=True)))


def effort(embedders: Mapping[str, CachedEmbedder], askers: Mapping[str, Asker]) -> Effort:
    """What they had to do so far."""
    return Effort(
        sum(embedder.computed for embedder in embedders.values()),
        sum(embedder.hits for embedder in embedders.values()),
        sum(asker.calls for asker in askers.values()),
        sum(asker.found for asker in askers.values()),
    )


def damage(
    manifest: Manifest, document: Document, plans: Sequence[GroupPlan], groups: Iterable[str], rebuilt: Set[str]
) -> str | None:
    """Where the store does not hold what the manifest says; None while a write that was cut short is to be done.

    Args:
        manifest: of the collection.
        document: with the store.
        plans: of the groups that are declared.
        groups: names of all groups, whole documents among them.
        rebuilt: groups that are built again in any case.
    """
    if manifest.pending():
        return None
    counts = manifest.counts()
    for group in (name for name in groups if name not in rebuilt):
        expected, stored = counts.get(group, 0), count(document, group)
        if stored != expected:
            return f"the store holds {stored:,} of {expected:,} nodes of '{group}'"
    for plan in plans:
        expected = counts.get(plan.name, 0) if plan.embed else 0
        stored = count_vectors(document, plan.name) if plan.name not in rebuilt else expected
        if stored != expected:
            return f"the store holds {stored:,} of {expected:,} vectors of '{plan.name}'"
    return None


def report_of(
    found: Scan,
    work: Work,
    records: Mapping[str, FileRecord],
    manifest: Manifest,
    plan: Plan,
    spent: Effort,
    *,
    strict: bool,
) -> CorpusReport:
    """What an update did.

    Args:
        found: the corpus.
        work: what was to be done.
        records: of all files, those that are gone among them.
        manifest: after it.
        plan: of the collection.
        spent: by the models.
        strict: it is a mistake when no file could be read.

    Raises:
        UserError: no file could be read; with ``corpus.on_error=fail``, one could not.
    """
    held = {name: record for name, record in records.items() if name not in work.removed}
    failed = {name: record.reason for name, record in held.items() if record.state == "failed"}
    if failed and plan.corpus.on_error == "fail":
        name, reason = next(iter(failed.items()))
        raise UserError(f"{name}: {reason} (corpus.on_error=fail)")
    if strict and held and len(failed) == len(held):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
        raise UserError(f"corpus.path: no file could be read ({reasons})")
    return CorpusReport(
        version=manifest.version(),
        files=len(found.files),
        added=sum(name not in failed for name in work.added),
        changed=sum(name not in failed for name in work.changed),
        removed=len(work.removed),
        unchanged=len(work.unchanged),
        failed=(
            *(FailedFile(skipped.name, skipped.reason) for skipped in found.skipped),
            *(FailedFile(name, reason) for name, reason in sorted(failed.items())),
        ),
        nodes=_nodes(manifest, plan),
        embedded=spent.embedded,
        embedding_cache_hits=spent.embedding_hits,
        asked=spent.asked,
        reply_cache_hits=spent.reply_hits,
    )


def as_it_is(report: CorpusReport, manifest: Manifest, plan: Plan) -> CorpusReport:
    """A report with what was written after it."""
    records = manifest.files()
    unreadable = [FailedFile(name, r.reason) for name, r in sorted(records.items()) if r.state == "failed"]
    others = [failed for failed in report.failed if failed.file not in records]
    return replace(
        report,
        version=manifest.version(),
        files=len(records),
        nodes=_nodes(manifest, plan),
        failed=(*others, *unreadable),
    )


def _nodes(manifest: Manifest, plan: Plan) -> dict[str, int]:
    counts = manifest.counts()
    return {group.name: counts.get(group.name, 0) for group in plan.groups}
