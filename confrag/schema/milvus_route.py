"""`kind: milvus` of a recall step: a Milvus collection that something else has filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from confrag.schema.base import EnvName, Name, Text, TopK
from confrag.schema.steps import StepSpec
from confrag.schema.store import Seconds, upper


class MilvusRouteSpec(StepSpec):
    """Search a Milvus collection that something else has filled, straight on its client.

    Scores, higher is better: COSINE and IP as they are, L2 as ``1 / (1 + d)`` of the squared Euclidean distance d.
    """

    takes = "question"
    uses = "embed"
    kind: Literal["milvus"]
    uri: Name
    """A server, ``http://HOST:19530``, or a Milvus Lite file: one that no other process has open."""
    db_name: Name | None = None
    """Server: the database; left out: ``default``."""
    user_env: EnvName | None = None
    """Server: name of the environment variable that holds the user's name."""
    password_env: EnvName | None = None
    """Server: name of the environment variable that holds the password."""
    token_env: EnvName | None = None
    """Server: name of the environment variable that holds a token, in place of user and password."""
    timeout_s: Seconds = 10.0
    """Server: seconds that a call may take."""
    collection: Name
    model: Name = "embed"
    """Name of the embedding model for the question: the one that the collection was filled with."""
    anns_field: Name | None = None
    """Field of the vectors; left out: the only one that there is."""
    metric_type: Annotated[Literal["COSINE", "IP", "L2"], BeforeValidator(upper)] | None = None
    """What the vectors are compared by; left out: by what their index is made for."""
    search_params: Mapping[str, int | float | str] = Field(default_factory=dict)
    """Parameters of the search: ef, nprobe, ..."""
    text_field: Name = "text"
    """Field of the text that the answering model reads."""
    file_field: Name | None = None
    """Field that says which file a text is from."""
    output_fields: tuple[Name, ...] = ()
    """Fields that become the metadata of a hit."""
    filter: Text = ""
    """Condition in Milvus' own language, passed on as it is: ``year >= 2020 and subject == "biology"``."""
    topk: TopK = 6

    @model_validator(mode="after")
    def _each_field_once(self) -> MilvusRouteSpec:
        twice = sorted({name for name in self.output_fields if self.output_fields.count(name) > 1})
        if twice:
            raise ValueError(f"output_fields names {', '.join(twice)} more than once")
        return self
