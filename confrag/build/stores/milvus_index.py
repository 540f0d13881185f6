"""The index of a Milvus collection: what `index_kwargs` ask for, checked, and how it is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confrag.errors import UserError, nearest
from confrag.registry.indices import METRICS, MILVUS_FILE, IndexTable

IndexKwargs = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""LazyLLM's: what is asked for, or a list of it by `embed_key`."""
_KEYS = ("embed_key", "index_type", "metric_type", "params", "search_params")
_DEFAULT_PARAMS: dict[str, dict[str, Any]] = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "HNSW_SQ": {"M": 16, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 128},
    "IVF_SQ8": {"nlist": 128},
    "IVF_PQ": {"nlist": 128, "nbits": 8},
    "GPU_IVF_FLAT": {"nlist": 128},
    "GPU_IVF_PQ": {"nlist": 128, "nbits": 8},
}
# Fewer rows to a cell make poor cells; Milvus servers shrink nlist by the same figure.
_ROWS_PER_CELL = 39


@dataclass(frozen=True)
class MilvusIndex:
    """One index of Milvus.

    Attributes:
        index_type: one of the backend's (see `confrag.registry.indices`).
        metric_type: one that goes with it; IP for a sparse one.
        params: how it is built; `building` fills in what depends on the rows.
        search_params: how it is searched; `searching` fills in what is not given.
    """

    index_type: str
    metric_type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    search_params: Mapping[str, Any] = field(default_factory=dict)

    def building(self, dim: int, rows: int | None = None) -> dict[str, Any]:
        """Parameters to build the index of so many rows (None: not known yet) of `dim` dimensions with.

        Raises:
            UserError: the parts of a product quantization do not come out even.
        """
        params = dict(self.params)
        if "nlist" in params and rows is not None:
            params["nlist"] = max(1, min(int(params["nlist"]), rows // _ROWS_PER_CELL))
        if self.index_type.endswith("_PQ"):
            # Two dimensions to a byte: an eighth of the vector.
            even = [parts for parts in range(1, dim + 1) if dim % parts == 0]
            parts = int(params.setdefault("m", max((m for m in even if m <= dim // 2), default=1)))
            if parts not in even:
                raise UserError(
                    f"store_conf: index_kwargs params m={parts} does not divide the {dim} dimensions of the vectors; "
                    f"these do: {', '.join(map(str, even))}"
                )
        return params

    def searching(self, topk: int) -> dict[str, Any]:
        """Parameters of a search for `topk` nodes: no narrower than that, and through a quarter of the IVF cells."""
        params = dict(self.search_params)
        if self.index_type.startswith("HNSW") or self.index_type == "AUTOINDEX":
            params["ef"] = max(int(params.get("ef", 200)), topk)
        elif self.index_type == "DISKANN":
            params["search_list"] = max(int(params.get("search_list", 100)), topk)
        elif "nlist" in self.params:
            params.setdefault("nprobe", max(16, int(self.params["nlist"]) // 4))
        return {"metric_type": self.metric_type, "params": params}


def index_for(
    index_kwargs: IndexKwargs,
    embed_key: str,
    sparse: bool,
    table: IndexTable = MILVUS_FILE,
) -> MilvusIndex:
    """The index that LazyLLM's ``index_kwargs`` (a dictionary, or a list of them) ask for an embedding.

    An entry without ``embed_key`` is for every embedding that no other entry names. Left out: FLAT for dense
    vectors, SPARSE_INVERTED_INDEX for sparse ones; COSINE, or IP for sparse ones; ``params`` as LazyLLM has them,
    except ``nlist`` 128 and, for product quantization, ``m`` half the dimensions.

    Raises:
        UserError: a type, metric or key that the backend does not have. It is never replaced by another.
    """
    entries = [index_kwargs] if isinstance(index_kwargs, Mapping) else list(index_kwargs or ())
    named = [entry for entry in entries if entry.get("embed_key") == embed_key]
    # One dictionary for all may be meant for the dense embeddings only; a sparse one then keeps its default.
    unnamed = [entry for entry in entries if not entry.get("embed_key")]
    common = [e for e in unnamed if (table.sort(str(e.get("index_type")).upper()) == "sparse") == sparse]
    entry = (named or common or [{}])[0]
    for key in entry:
        if key not in _KEYS:
            close = nearest(key, _KEYS)
            hint = f". Did you mean '{close}'?" if close else ""
            raise UserError(f"store_conf: unknown key '{key}' of index_kwargs; known: {', '.join(_KEYS)}{hint}")
    sort = "sparse" if sparse else "floating"
    index_type = str(entry.get("index_type") or table.types[sort][0]).upper()
    if refused := table.refuse_type(index_type, sort):
        raise UserError(f"store_conf: index_type '{index_type}': {refused}")
    metric = str(entry.get("metric_type") or METRICS[sort][0]).upper()
    if refused := table.refuse_metric(index_type, metric):
        raise UserError(f"store_conf: metric_type '{metric}': {refused}")
    params = {**_DEFAULT_PARAMS.get(index_type, {}), **(entry.get("params") or {})}
    return MilvusIndex(index_type, metric, params, dict(entry.get("search_params") or {}))
