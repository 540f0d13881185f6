"""What an ingest would do, and what it would cost; nothing is written, no model is loaded."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from confrag.build.document import build_transforms, unkept_indices
from confrag.build.models.fingerprint import fingerprint
from confrag.build.nodes import make_nodes
from confrag.build.private.nodes import ROOT_GROUP
from confrag.build.progress import ProgressFn
from confrag.build.readers.section import UnreadableFileError
from confrag.errors import UserError
from confrag.plan.model import GroupPlan, Plan, thaw, written_groups
from confrag.runtime.ask_outlook import AskOutlook, estimate
from confrag.runtime.collection import INDICES
from confrag.runtime.embedding_cache import EmbeddingCache, cache_file, text_key
from confrag.runtime.ingest import read_file
from confrag.runtime.places import collection_dir
from confrag.runtime.work import Work
from confrag.runtime.written import add_written

__all__ = ["GroupOutlook", "Outlook", "look_ahead"]


@dataclass(frozen=True, slots=True)
class GroupOutlook:
    """What becomes of a node group.

    Attributes:
        reasons: why it is built as a whole; empty when only some of its files are written.
        nodes: how many would be written; of a group that a model writes, and those below it, as far as it has replied.
        embed: texts among them that a model has to embed.
        cached: texts whose vectors the embedding cache has.
        indices: those that take in the nodes.
        asking: what it costs to let a model write the nodes; None: no model does.
    """

    group: str
    reasons: tuple[str, ...]
    nodes: int
    embed: int
    cached: int
    indices: tuple[str, ...]
    asking: AskOutlook | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an ingest would do. Names of files, sorted.

    Attributes:
        fresh: why the collection would be built from nothing; None when it would not.
        groups: those of which something is written.
        indices: those of other groups that would be built as a whole, since nothing usable is kept of them.
        dropped: node groups that would be deleted.
        failed: file -> why it cannot be read.
        unfinished: an ingest was cut short; what is left of it is done, too.
    """

    collection: str
    fresh: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    groups: tuple[GroupOutlook, ...]
    indices: tuple[str, ...]
    dropped: tuple[str, ...]
    failed: Mapping[str, str]
    unfinished: bool
    up_to_date: bool

    @property
    def embed(self) -> int:
        """Texts that a model has to embed."""
        return sum(group.embed for group in self.groups)

    @property
    def cached(self) -> int:
        """Texts whose vectors the embedding cache has."""
        return sum(group.cached for group in self.groups)

    def as_dict(self) -> dict[str, Any]:
        """The outlook as in the JSON of ``confrag plan``."""
        groups = [asdict(group) for group in self.groups]
        for group in groups:
            if group["asking"] is None:
                del group["asking"]
        return {**asdict(self), "groups": groups, "embed": self.embed, "embedding_cache_hits": self.cached}


def look_ahead(plan: Plan, work: Work, progress: ProgressFn) -> Outlook:
    """Cut the files that are to be read, and count.

    Raises:
        UserError: with ``corpus.on_error=fail``, a file that cannot be read.
    """
    transforms = build_transforms(plan.groups)
    written = written_groups(plan.groups)
    cut = [group for group in plan.groups if group not in written]
    nodes: dict[str, int] = {}
    keys: dict[tuple[str, str], dict[bytes, None]] = {}
    failed = dict(work.failed)
    with estimate(plan, transforms) as costs:
        for number, entry in enumerate(work.files, start=1):
            name = entry.file.name
            try:
                sections = read_file(entry.file, plan.corpus).sections
            except UnreadableFileError as error:
                if plan.corpus.on_error == "fail":
                    raise UserError(f"{name}: {error.reason} (corpus.on_error=fail)") from None
                failed[name] = error.reason
                continue
            made = make_nodes(name, entry.file.location, sections, cut, transforms)
            pairs = thaw(entry.file.edits).get("pairs", {})
            add_written(written, [(entry.groups, made, pairs)], transforms, costs.replies)
            for group in plan.groups:
                if group.name not in entry.groups:
                    continue
                nodes[group.name] = nodes.get(group.name, 0) + len(made[group.name])
                for model in group.embed:
                    texts = keys.setdefault((group.name, model), {})
                    texts.update((text_key(node.text), None) for node in made[group.name])
            progress("read", number, len(work.files))
    covered = _covered(plan, keys)
    reasons = {entry.recipe.group: entry.reasons for entry in work.groups}
    touched = [group for group in plan.groups if group.name in nodes or group.name in reasons]
    listed = {index for group in touched for index in _indices(plan, group)}
    missing = [] if work.fresh else unkept_indices(plan, collection_dir(plan) / INDICES)
    indices = tuple(index for index in missing if index.partition(" of ")[0] not in listed)
    return Outlook(
        collection=plan.collection,
        fresh=work.fresh,
        added=work.added,
        changed=work.changed,
        removed=work.removed,
        unchanged=work.unchanged,
        groups=tuple(
            GroupOutlook(
                group=group.name,
                reasons=reasons.get(group.name, ()),
                nodes=nodes.get(group.name, 0),
                embed=sum(len(keys.get((group.name, m), ())) - covered.get((group.name, m), 0) for m in group.embed),
                cached=sum(covered.get((group.name, model), 0) for model in group.embed),
                indices=_indices(plan, group),
                asking=costs.of(group),
            )
            for group in touched
        ),
        indices=indices,
        dropped=tuple(group for group in work.dropped if group != ROOT_GROUP),
        failed=failed,
        unfinished=work.unfinished,
        up_to_date=work.nothing and not indices,
    )


def _covered(plan: Plan, keys: Mapping[tuple[str, str], Mapping[bytes, None]]) -> dict[tuple[str, str], int]:
    """How many of the texts the embedding cache has, or will have of a group before."""
    covered: dict[tuple[str, str], int] = {}
    if not plan.embedding_cache_mb:
        return covered
    cache = _open_cache(plan)
    known: dict[str, set[bytes]] = {}
    try:
        for group, model in ((entry.name, model) for entry in plan.groups for model in entry.embed):
            before = known.setdefault(model, set())
            texts = keys.get((group, model), {})
            new = [text for text in texts if text not in before]
            held = cache.held(fingerprint(plan.model(model)), new) if cache else 0
            covered[group, model] = held + len(texts) - len(new)
            before.update(new)
    finally:
        if cache:
            cache.close()
    return covered


def _open_cache(plan: Plan) -> EmbeddingCache | None:
    path = cache_file(plan.state_dir)
    try:
        return EmbeddingCache(path, plan.embedding_cache_mb * 2**20) if path.exists() else None
    except sqlite3.Error:
        return None  # an ingest would do without it, too


def _indices(plan: Plan, group: GroupPlan) -> tuple[str, ...]:
    """The indices that take a group's rows: Milvus' types, another store's own by its kind, BM25, those by name."""
    listed = plan.store.params.get("index_kwargs")
    listed = listed if isinstance(listed, tuple) else ()
    vectors = [str(entry["index_type"]) for entry in listed if "index_type" in entry] or [plan.store.kind]
    texts = [r.similarity for r in plan.retrievers if r.group == group.name and r.mode == "text" and r.similarity]
    own = [f"{index.kind} '{index.name}'" for index in plan.indices if index.group == group.name]
    return tuple(dict.fromkeys([*(vectors if group.embed else ()), *texts, *own]))
