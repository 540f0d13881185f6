"""What the vector stores have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confrag.build.stores.segments import stored_among, stored_segments
from confrag.errors import StoreError
from confrag.schema.doc_fields import RESERVED


class VectorsOnly:
    """What LazyLLM asks a store of vectors that stands beside one of segments, answered for both of ours."""

    def get(
        self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Nothing: LazyLLM asks for the vectors of every node that it looks up, and uses them for nothing."""
        return []

    def persist(self) -> None:
        """Nothing to do: what is written outlasts the process."""

    def refresh(self) -> None:
        """Nothing to do: what other processes write is found."""

    def collection_exists(self, collection_name: str) -> bool:
        """True, so that LazyLLM goes on to `search`, which knows an empty store from a damaged one."""
        return True


def server_prefix(directory: Path) -> str:
    """What the names of a collection begin with on a server, where several corpora have theirs.

    Args:
        directory: the collection's own folder; its name is the collection's id.
    """
    return f"confrag_{directory.name}_"


def spell(name: str) -> str:
    """A name of which a server understands every letter: what is no ASCII letter, digit or ``_`` is ``_x<code>_``."""
    return re.sub(r"[^A-Za-z0-9_]", lambda match: f"_x{ord(match[0]):x}_", name)


def unspell(name: str) -> str:
    """The inverse of `spell`."""
    return re.sub(r"_x([0-9a-f]+)_", lambda match: chr(int(match[1], 16)), name)


def embedding_keys(data: Sequence[dict[str, Any]], place: str) -> list[str]:
    """The embeddings that the segments carry, in order of name; none for a group that is not embedded.

    Raises:
        StoreError: some of the segments have an embedding that others lack; they would never be found.
    """
    held = [frozenset(segment.get("embedding") or ()) for segment in data]
    keys = frozenset().union(*held)
    for segment, own in zip(data, held, strict=True):
        if own != keys:
            lacking = ", ".join(sorted(keys - own))
            raise StoreError(
                f"{place}: node {segment['uid']} has no embedding '{lacking}', other nodes of its group have"
            )
    return sorted(keys)


def check_in_step(place: str, collection: str, vectors: int, segments_uri: str) -> None:
    """Compare a collection of vectors with the text beside it: one without the other is a damaged store.

    Raises:
        StoreError: text is stored but no vectors, or vectors but no text.
    """
    texts = stored_segments(segments_uri, collection)
    if bool(vectors) == bool(texts):
        return
    found, lost = ("vectors", "text") if vectors else ("text", "vectors")
    raise StoreError(
        f"{place}: the {lost} of collection '{collection}' is missing, though {max(vectors, texts)} nodes are stored "
        f"with their {found} (text is in '{segments_uri}'). Delete both and ingest again."
    )


def check_stored(place: str, collection: str, uids: Sequence[str], segments_uri: str) -> None:
    """Compare what a search found with the text beside it: LazyLLM would leave out what is not there.

    Raises:
        StoreError: the text of a node is missing.
    """
    missing = len(set(uids)) - stored_among(segments_uri, collection, uids)
    if missing:
        raise StoreError(
            f"{place}: the text of {missing} of {len(uids)} nodes that a search of '{collection}' found is not stored "
            f"(it is in '{segments_uri}'); ingest again"
        )


def declared(descriptions: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The fields that a `Document` declares, less LazyLLM's own, of its description of the global metadata."""
    return tuple(sorted((descriptions or {}).keys() - RESERVED))


def similarity_from_distance(distance: float) -> float:
    """A score in (0, 1], higher is better, of a squared Euclidean distance: ``1 / (1 + distance)``."""
    return 1.0 / (1.0 + max(distance, 0.0))
