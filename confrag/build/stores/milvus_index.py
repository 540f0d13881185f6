"""The index of a Milvus collection: what `index_kwargs` ask for, checked, and how it is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confrag.errors import UserError, nearest

DENSE_TYPES = ("AUTOINDEX", "FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8")
SPARSE_TYPES = ("SPARSE_INVERTED_INDEX",)
METRICS = ("COSINE", "IP", "L2")

_KEYS = ("embed_key", "index_type", "metric_type", "params", "search_params")
_DEFAULT_PARAMS: dict[str, dict[str, Any]] = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "HNSW_SQ": {"M": 16, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 128},
    "IVF_SQ8": {"nlist": 128},
}
# Fewer rows to a cell make poor cells; Milvus servers shrink nlist by the same figure.
_ROWS_PER_CELL = 39


@dataclass(frozen=True)
class MilvusIndex:
    """One index of Milvus.

    Attributes:
        index_type: one of `DENSE_TYPES` or `SPARSE_TYPES`.
        metric_type: one of `METRICS`; IP for a sparse one.
        params: how it is built.
        search_params: how it is searched; `searching` fills in what is not given.
    """

    index_type: str
    metric_type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    search_params: Mapping[str, Any] = field(default_factory=dict)

    def building(self, rows: int) -> dict[str, Any]:
        """Parameters to build the index of so many rows with."""
        params = dict(self.params)
        if "nlist" in params:
            params["nlist"] = max(1, min(int(params["nlist"]), rows // _ROWS_PER_CELL))
        return params

    def searching(self, topk: int) -> dict[str, Any]:
        """Parameters of a search for `topk` nodes: an HNSW search no narrower than that, a quarter of the IVF cells."""
        params = dict(self.search_params)
        if self.index_type.startswith("HNSW") or self.index_type == "AUTOINDEX":
            params["ef"] = max(int(params.get("ef", 200)), topk)
        elif self.index_type.startswith("IVF"):
            params.setdefault("nprobe", max(16, int(self.params["nlist"]) // 4))
        return {"metric_type": self.metric_type, "params": params}


def index_for(
    index_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, embed_key: str, sparse: bool
) -> MilvusIndex:
    """The index that LazyLLM's ``index_kwargs`` (a dictionary, or a list of them) ask for an embedding.

    An entry without ``embed_key`` is for every embedding that no other entry names. Left out: FLAT for dense
    vectors, SPARSE_INVERTED_INDEX for sparse ones; COSINE, or IP for sparse ones; ``params`` as LazyLLM has them,
    except ``nlist`` 128.

    Raises:
        UserError: a type, metric or key that Milvus Lite does not have. It is never replaced by another.
    """
    entries = [index_kwargs] if isinstance(index_kwargs, Mapping) else list(index_kwargs or ())
    named = [entry for entry in entries if entry.get("embed_key") == embed_key]
    # One dictionary for all may be meant for the dense embeddings only; a sparse one then keeps its default.
    unnamed = [entry for entry in entries if not entry.get("embed_key")]
    common = [entry for entry in unnamed if (str(entry.get("index_type")).upper() in SPARSE_TYPES) == sparse]
    entry = (named or common or [{}])[0]
    for key in entry:
        _check("index_kwargs key", key, _KEYS)
    types, default, metrics = (SPARSE_TYPES, SPARSE_TYPES[0], ("IP",)) if sparse else (DENSE_TYPES, "FLAT", METRICS)
    index_type = _check("index_type", str(entry.get("index_type") or default).upper(), types)
    metric = _check("metric_type", str(entry.get("metric_type") or metrics[0]).upper(), metrics)
    params = {**_DEFAULT_PARAMS.get(index_type, {}), **(entry.get("params") or {})}
    return MilvusIndex(index_type, metric, params, dict(entry.get("search_params") or {}))


def _check(name: str, value: str, options: Sequence[str]) -> str:
    if value in options:
        return value
    close = nearest(value, options)
    hint = f" Did you mean '{close}'?" if close else ""
    raise UserError(f"store_conf: {name} '{value}' is not one that Milvus Lite has: {', '.join(options)}.{hint}")
