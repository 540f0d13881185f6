"""`indices`: what they name exists, and each is used by a retriever that fits to it."""

from __future__ import annotations

from collections.abc import Iterator

from confrag.config.raw import Raw, table, unknown
from confrag.errors import Problem
from confrag.schema.indices import INDEX_KINDS, Compares, IndexSpec
from confrag.schema.retrieval import INDICES, SIMILARITIES

__all__ = ["fitting", "indices", "known_index"]


def indices(raw: Raw) -> Iterator[Problem]:
    """Node groups and embeddings exist; each index is used."""
    groups = table(raw, "node_groups")
    embedders = [name for name, model in table(raw, "models").items() if model.get("role") == "embed"]
    used = {retriever.get("index") for retriever in table(raw, "retrievers").values()}
    for name, index in table(raw, "indices").items():
        path = f"indices.{name}"
        if name in INDICES:
            yield Problem(path, f"the names {' and '.join(INDICES)} mean the store's own index; choose another", name)
        elif name not in used:
            yield Problem(path, f"no retriever uses this index; remove it, or set retrievers.NAME.index={name}")
        group = index.get("group")
        if isinstance(group, str) and group not in groups:
            yield unknown(f"{path}.group", group, "node group", list(groups))
        elif _compares(index) == "embedding":
            yield from _embed_key(path, index.get("embed_key"), groups.get(str(group), {}), embedders)


def known_index(raw: Raw, path: str, name: object) -> Iterator[Problem]:
    """A retriever names an index that there is."""
    known = [*INDICES, *table(raw, "indices")]
    if isinstance(name, str) and name not in known:
        yield unknown(f"{path}.index", name, "index", known)


def fitting(path: str, retriever: Raw, index: Raw) -> Iterator[Problem]:
    """A retriever asks of its index what that can answer."""
    name, kind = retriever.get("index"), index.get("kind")
    group, similarity, keys = retriever.get("group"), retriever.get("similarity"), retriever.get("embed_keys")
    if isinstance(index.get("group"), str) and isinstance(group, str) and group != index["group"]:
        yield Problem(f"{path}.group", f"index '{name}' finds nodes of group '{index['group']}'", group)
    compares = _compares(index)
    if compares == "text":
        for key, value in {"similarity": similarity, "embed_keys": keys}.items():
            if value:
                yield Problem(
                    f"{path}.{key}", f"index '{name}' (kind {kind}) compares texts by itself; leave it out", value
                )
    elif compares == "embedding":
        if isinstance(similarity, str) and SIMILARITIES.get(similarity) == "text":
            yield Problem(f"{path}.index", f"an index of vectors cannot answer similarity {similarity}", name)
        wanted = index.get("embed_key")
        if isinstance(keys, list) and (len(keys) != 1 or wanted not in (None, keys[0])):
            which = f"searches the embedding '{wanted}'" if wanted else "searches one embedding"
            yield Problem(f"{path}.embed_keys", f"index '{name}' {which}; leave the key out, or name that one", keys)


def _embed_key(path: str, key: object, group: Raw, embedders: list[str]) -> Iterator[Problem]:
    of_group = group.get("embed")
    choice = [str(name) for name in of_group] if isinstance(of_group, list) else embedders
    if key is None:
        if len(choice) > 1:
            yield Problem(
                f"{path}.embed_key", f"must name the embedding to search; there are several: {', '.join(choice)}"
            )
        elif not choice:
            yield Problem(f"{path}.embed_key", "there is no embedding to search: no model has the role 'embed'")
    elif isinstance(key, str) and key not in embedders:
        yield unknown(f"{path}.embed_key", key, "embedding model", embedders)
    elif isinstance(key, str) and key not in choice:
        yield Problem(f"{path}.embed_key", "the node group is not indexed with this embedding", key)


def _compares(index: Raw) -> Compares | None:
    """What an index compares; None for a kind that does not exist."""
    kind = index.get("kind")
    spec = INDEX_KINDS[kind].spec if isinstance(kind, str) and kind in INDEX_KINDS else None
    return spec.compares if spec and issubclass(spec, IndexSpec) else None
