"""References between the parts of a configuration: every name that is used must exist, and be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from confrag.config.cache_checks import cache
from confrag.config.evaluation_checks import evaluation
from confrag.config.index_checks import fitting, indices, known_index
from confrag.config.metadata_checks import metadata
from confrag.config.milvus_route_checks import milvus_routes
from confrag.config.model_checks import served_models
from confrag.config.prompt_checks import prompts, prompts_fit
from confrag.config.raw import Raw, by_role, table, unknown
from confrag.config.recall_checks import flows, recall
from confrag.config.store_checks import store
from confrag.config.vectors import of_one_sort, sparse_vectors
from confrag.errors import Problem, UserError, nearest
from confrag.registry import catalogue
from confrag.registry.readers import READERS
from confrag.schema.nodes import ROOT, TRANSFORMS, WrittenSpec
from confrag.schema.retrieval import SIMILARITIES

__all__ = ["CHECKS"]


def node_groups(raw: Raw) -> Iterator[Problem]:
    """Parents exist, and no group is its own ancestor; embeddings are models of the role `embed`."""
    groups = table(raw, "node_groups")
    embedders = by_role(raw, "embed")
    for name, group in groups.items():
        path = f"node_groups.{name}"
        if name == ROOT:
            yield Problem(path, f"'{ROOT}' is the name of the whole documents; choose another", name)
        parent = group.get("parent", ROOT)
        if isinstance(parent, str) and parent != ROOT and parent not in groups:
            yield unknown(f"{path}.parent", parent, "node group", [ROOT, *groups])
        embed = group.get("embed")
        for key in embed if isinstance(embed, list) else []:
            if key not in embedders:
                yield unknown(f"{path}.embed", key, "embedding model", embedders)
        yield from _writer(raw, f"{path}.transform", group.get("transform"))
    yield from _cycles(groups)


def _writer(raw: Raw, path: str, transform: object) -> Iterator[Problem]:
    """A model that is to write nodes exists, and can write."""
    kind = transform.get("kind") if isinstance(transform, Mapping) else None
    if not (isinstance(transform, Mapping) and isinstance(kind, str) and kind in TRANSFORMS):
        return
    name, chats = transform.get("model", "llm"), by_role(raw, "chat")
    if not issubclass(TRANSFORMS[kind].spec, WrittenSpec) or not isinstance(name, str) or "models" not in raw:
        return
    if name not in chats:
        yield unknown(f"{path}.model", name, "model with the role 'chat'", chats)
    elif table(raw, "models")[name].get("kind") == "extractive":
        yield Problem(f"{path}.model", "a model of the kind 'extractive' quotes and cannot write; name another", name)


def _cycles(groups: Mapping[str, Raw]) -> Iterator[Problem]:
    groups = {name: group for name, group in groups.items() if name != ROOT}
    reported: set[str] = set()
    for start in groups:
        trail = [start]
        while (parent := str(groups[trail[-1]].get("parent", ROOT))) in groups and parent not in trail:
            trail.append(parent)
        if parent == start and start not in reported:
            reported.update(trail)
            cycle = " -> ".join([*trail, start])
            yield Problem(f"node_groups.{start}.parent", f"a cycle: {cycle}", groups[start]["parent"])


def retrievers(raw: Raw) -> Iterator[Problem]:
    """Each searches a group that exists, by embeddings that exist, through an index that its store has."""
    groups, embedders = table(raw, "node_groups"), by_role(raw, "embed")
    for name, retriever in table(raw, "retrievers").items():
        path = f"retrievers.{name}"
        for key in ("group", "target"):
            value = retriever.get(key)
            known = [ROOT, *groups] if key == "target" else list(groups)
            if isinstance(value, str) and value not in known:
                yield unknown(f"{path}.{key}", value, "node group", known)
        yield from known_index(raw, path, retriever.get("index", "default"))
        if (own := table(raw, "indices").get(str(retriever.get("index")))) is not None:
            yield from fitting(path, retriever, own)
            continue
        similarity = retriever.get("similarity", "cosine")
        mode = SIMILARITIES.get(similarity) if isinstance(similarity, str) else None
        keys = retriever.get("embed_keys")
        if mode == "text" and keys:
            yield Problem(f"{path}.embed_keys", f"similarity {similarity} compares words and uses no embedding", keys)
        if mode == "embedding":
            yield from _embed_keys(path, keys, embedders, groups.get(str(retriever.get("group")), {}))
            named = [str(key) for key in keys] if isinstance(keys, list) else []
            yield from of_one_sort(f"{path}.embed_keys", named, table(raw, "models"))
        yield from _index(raw, path, retriever.get("index", "default"), similarity, mode)


def _embed_keys(path: str, keys: object, embedders: list[str], group: Raw) -> Iterator[Problem]:
    if keys is None and len(embedders) != 1:
        if embedders:
            message = f"must name the embedding to search by; there are several: {', '.join(embedders)}"
        else:
            message = "there is no model with the role 'embed' to search by"
        yield Problem(f"{path}.embed_keys", message)
    implied = embedders if keys is None and len(embedders) == 1 else []
    for key in keys if isinstance(keys, list) else implied:
        if key not in embedders:
            yield unknown(f"{path}.embed_keys", key, "embedding model", embedders)
        elif isinstance(group.get("embed"), list) and key not in group["embed"]:
            yield Problem(f"{path}.embed_keys", "the node group is not indexed with this embedding", key)


def _index(raw: Raw, path: str, index: object, similarity: object, mode: str | None) -> Iterator[Problem]:
    if index != "smart_embedding_index":
        return
    if mode == "text":
        yield Problem(f"{path}.index", f"an index of vectors cannot answer similarity {similarity}", index)
    store = raw.get("store_conf")
    if not (isinstance(store, Mapping) and isinstance(store.get("indices"), Mapping)):
        yield Problem(
            f"{path}.index",
            "the store does not carry this index; declare store_conf.indices.smart_embedding_index "
            "(as in store_conf=map_milvus_index)",
            index,
        )


def models(raw: Raw) -> Iterator[Problem]:
    """Local models exist and fit their role; keys are in the environment; the answering model exists."""
    declared = table(raw, "models")
    for name, model in declared.items():
        path = f"models.{name}"
        wanted = model.get("model")
        if model.get("kind") == "local" and isinstance(wanted, str):
            yield from _local(path, wanted, next((r for r in get_args(catalogue.Role) if r == model.get("role")), None))
        variable = model.get("api_key_env")
        if isinstance(variable, str) and not os.environ.get(variable):
            yield Problem(f"{path}.api_key_env", f"the environment variable {variable} is not set", variable)
    generation = raw.get("generation")
    answering = generation.get("model", "llm") if isinstance(generation, Mapping) else "llm"
    chats = by_role(raw, "chat")
    if isinstance(answering, str) and answering not in chats and "models" in raw:
        yield unknown("generation.model", answering, "model with the role 'chat'", chats)


def _local(path: str, wanted: str, role: catalogue.Role | None) -> Iterator[Problem]:
    if "/" in wanted or wanted.endswith(".gguf") or _exists(wanted):
        if not _exists(wanted):
            yield Problem(f"{path}.model", "there is no such file or folder", wanted)
        return
    try:
        catalogue.find(wanted, role)
    except UserError as error:
        yield Problem(f"{path}.model", " ".join(str(error).split()), wanted)


def corpus(raw: Raw) -> Iterator[Problem]:
    """Readers exist, and so do the paths."""
    conf = raw.get("corpus")
    if not isinstance(conf, Mapping):
        return
    readers = conf.get("readers")
    for extension, reader in readers.items() if isinstance(readers, Mapping) else ():
        if isinstance(reader, str) and reader not in READERS:
            yield unknown(f"corpus.readers.{extension}", reader, "reader", READERS)
    paths = conf.get("path")
    for path in [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else []:
        if isinstance(path, str) and not path.startswith("pkg://") and not _exists(path):
            yield Problem("corpus.path", "there is no such file or folder", path, _near(path))


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long a name, a NUL in it, the home of nobody
        return False


def _near(path: str) -> str | None:
    """The name beside a path that is closest to its own."""
    try:
        siblings = [entry.name for entry in Path(path).expanduser().parent.iterdir()]
    except (OSError, ValueError, RuntimeError):
        return None
    return nearest(Path(path).name, siblings)


def places(raw: Raw) -> Iterator[Problem]:
    """The file of questions is there, and what is written has a place."""
    questions, state = raw.get("queries_file"), raw.get("state_dir")
    if isinstance(questions, str) and not _exists(questions):
        yield Problem("queries_file", "there is no such file", questions, _near(questions))
    if isinstance(state, str):
        try:
            folder = Path(state).expanduser().absolute()
            blocked = next(path for path in (folder, *folder.parents) if path.exists())
        except (OSError, ValueError, RuntimeError) as error:
            yield Problem("state_dir", f"cannot be the name of a folder ({error})", state)
        else:
            if not blocked.is_dir():
                yield Problem("state_dir", f"{blocked} is a file, so that no folder can be made there", state)


Check = Callable[[Raw], Iterator[Problem]]
"""What is wrong with a configuration, in some respect."""

CHECKS: tuple[Check, ...] = (
    corpus,
    places,
    store,
    node_groups,
    retrievers,
    indices,
    recall,
    flows,
    cache,
    milvus_routes,
    sparse_vectors,
    models,
    served_models,
    prompts,
    prompts_fit,
    metadata,
    evaluation,
)
