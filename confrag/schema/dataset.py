"""`dataset`: questions with what is known to be right, for ``confrag eval``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from confrag.schema.base import Name, Spec

__all__ = ["DatasetSpec"]


class DatasetSpec(Spec):
    """A folder with questions: about documents of its own, in the layout of BEIR, or about those of `corpus`.

    The documents of a folder in the layout of BEIR take the place of the corpus while it is evaluated.
    """

    path: Name | None = None
    """Folder with ``corpus.jsonl`` (``_id``, ``text``, perhaps ``title`` and further fields), ``queries.jsonl``
    (``_id``, ``text``, perhaps ``answers``) and ``qrels/SPLIT.tsv`` (query-id, corpus-id, score), which may be absent
    where there are answers. Without ``corpus.jsonl``, the documents are the files of `corpus.path`, each known by its
    path in there; a line of ``queries.jsonl`` names those that are right: ``{"text": "When is it open?", "files":
    ["faq.md"], "answers": ["at ten"]}``, where ``answers`` or ``files`` may be left out, and so may ``_id``."""
    split: Annotated[Name, Field(pattern=r"^[\w.-]+$")] = "test"
    """Which of the files below ``qrels``, where there are any; only its queries are asked."""
    language: Literal["auto", "en", "zh"] = "auto"
    """How answers are compared: as SQuAD does (en), or CMRC2018 (zh); ``auto``: as most of the queries are written."""
    queries: Annotated[int, Field(strict=True, ge=1)] | None = None
    """How many of the queries are asked, drawn by ``eval.seed``; left out: all."""
