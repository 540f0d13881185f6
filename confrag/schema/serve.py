"""`serve`: the HTTP service of ``confrag serve``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from confrag.schema.base import EnvName, Name, Number, Spec
from confrag.schema.corpus import Names

__all__ = ["ServeSpec"]

_Size = Annotated[int, Field(strict=True, ge=1, le=100_000)]


def _host(value: str) -> str:
    if "/" in value or any(character.isspace() for character in value):
        raise ValueError("must be the name of a host, without 'https://' and path: docs.example.org")
    return value


def _origin(value: str) -> str:
    scheme, _, host = value.partition("://")
    if scheme not in ("http", "https") or not host or "/" in host:
        raise ValueError("must be an origin, without a path: https://example.org")
    return value


def _each(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda values: tuple(map(check, values)))


Hosts = Annotated[Names, _each(_host)]
Origins = Annotated[Names, _each(_origin)]


class ServeSpec(Spec):
    """The HTTP service and its web page."""

    host: Name = "127.0.0.1"
    """Address to listen at. Any but the loopback interface needs a token."""
    port: Annotated[int, Field(strict=True, ge=0, le=65_535)] = 8000
    """0: any free one; the address is printed."""
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Processes that answer, each with the models of its own; one at a time writes."""
    ui: Literal["page", "lazyllm", "none"] = "page"
    """What ``/`` shows: the web page, LazyLLM's WebModule, or nothing."""
    model: Name | None = None
    """Name in ``/v1/models``; left out: the preset's."""
    read_token_env: EnvName = "CONFRAG_READ_TOKEN"
    """Name of the environment variable with the token that may ask."""
    write_token_env: EnvName = "CONFRAG_WRITE_TOKEN"
    """Name of the environment variable with the token that may change documents, too."""
    hosts: Hosts = ()
    """Names under which the service is reached, beside `host`, ``localhost`` and addresses in digits."""
    cors_origins: Origins = ()
    """Other sites whose pages may call the service: ``https://example.org``."""
    max_concurrency: Annotated[int, Field(strict=True, ge=1, le=1024)] = 8
    """Questions that a worker answers at the same time."""
    queue: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 64
    """Questions that may wait for their turn in a worker; one more is answered with 429 and Retry-After."""
    timeout_s: Annotated[Number, Field(gt=0, le=86_400)] = 120.0
    """Seconds that a question may take, waiting included; after that it is answered with 504."""
    shutdown_s: Annotated[Number, Field(ge=0, le=3600)] = 30.0
    """Seconds that answers under way have to finish when the service is ended."""
    rate_per_minute: Annotated[int, Field(strict=True, ge=0, le=10_000_000)] = 0
    """Requests of one token, or of one address where there is none; 0: no limit."""
    max_upload_mb: _Size = 50
    """Size of one file that is uploaded."""
    max_files: _Size = 100
    """Files of one upload."""
    max_unpacked_mb: _Size = 500
    """Size of a file that is an archive (docx, pptx, xlsx, epub) when it is unpacked."""
    add_from: Names = ()
    """Folders that ``/add_files`` may take files from, beside the corpus."""
