"""Which indices a backend has."""

from __future__ import annotations

MILVUS_LITE_INDICES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")
"""Index types of a Milvus Lite 3 file for dense vectors."""
