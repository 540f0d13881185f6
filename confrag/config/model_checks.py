"""What models behind servers need: sources that exist, keys in the environment, templates that say what is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from confrag.config.raw import Raw
from confrag.errors import Problem, nearest
from confrag.registry.sources import SOURCES
from confrag.schema.models import FRAMEWORKS, HEADER_VARIABLE, placeholders

__all__ = ["served_models"]


_WANTED = {"embed": ("texts", "text"), "chat": ("messages", "prompt")}
_OF_A_KEY = ("authorization", "api-key", "apikey", "token", "secret")


def served_models(raw: Raw) -> Iterator[Problem]:
    """Check each model that is reached over HTTP or deployed."""
    models = raw.get("models")
    table = models if isinstance(models, Mapping) else {}
    for name, model in table.items():
        if isinstance(model, Mapping):
            yield from _model(f"models.{name}", str(name), model, table)


def _model(path: str, name: str, model: Raw, table: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _fallback(path, name, model, table)
    for key in ("base_url", "url"):
        yield from _address(f"{path}.{key}", model.get(key))
    kind, role = model.get("kind"), model.get("role")
    if kind == "online" and isinstance(role, str) and role in SOURCES:
        source, known = model.get("source"), SOURCES[role]
        if isinstance(source, str) and source not in known:
            message = f"LazyLLM has no source of this name for the role '{role}'; known: {', '.join(known)}"
            yield Problem(f"{path}.source", message, source, nearest(source, known))
    if kind == "trainable" and isinstance(role, str) and role in FRAMEWORKS:
        deploy, able = model.get("deploy", "auto"), FRAMEWORKS[role]
        if deploy != "auto" and isinstance(deploy, str) and deploy not in able and deploy in _frameworks():
            message = f"does not serve models of the role '{role}'; these do: {', '.join(able)}"
            yield Problem(f"{path}.deploy", message, deploy)
    if kind == "custom_http":
        yield from _template(path, str(role), model.get("body"))
        yield from _headers(path, model.get("headers"))


def _frameworks() -> set[str]:
    return {name for names in FRAMEWORKS.values() for name in names}


def _fallback(path: str, name: str, model: Raw, table: Mapping[str, Any]) -> Iterator[Problem]:
    named = model.get("fallback")
    if not isinstance(named, list) or not named:
        return
    role = model.get("role")
    if role == "embed":
        message = "an embedding model has no stand-in: vectors of two models cannot be compared. Leave it out"
        yield Problem(f"{path}.fallback", message, named)
        return
    if role == "rerank":
        message = "a rerank model has no stand-in: scores of two models cannot be compared. Leave it out"
        yield Problem(f"{path}.fallback", message, named)
        return
    others = {key: other for key, other in table.items() if isinstance(other, Mapping) and key != name}
    known = [str(key) for key, other in others.items() if other.get("role") == "chat"]
    for stand_in in named:
        if stand_in == name:
            yield Problem(f"{path}.fallback", "a model cannot stand in for itself", stand_in)
        elif stand_in not in known:
            message = f"there is no other model of this name with the role 'chat'; known: {', '.join(known) or 'none'}"
            yield Problem(f"{path}.fallback", message, stand_in, nearest(stand_in, known))
        elif others[stand_in].get("kind") == "extractive":
            message = "a model of the kind 'extractive' quotes and cannot write; name another"
            yield Problem(f"{path}.fallback", message, stand_in)


def _address(path: str, url: object) -> Iterator[Problem]:
    if not isinstance(url, str):
        return
    try:
        named = urlsplit(url).username is not None
    except ValueError as error:
        yield Problem(path, f"is no address: {error}")
        return
    if named:
        message = "must not hold a name or password, since an address is shown and logged; use api_key_env or headers"
        yield Problem(path, message)


def _template(path: str, role: str, body: object) -> Iterator[Problem]:
    wanted = _WANTED.get(role)
    if wanted and isinstance(body, Mapping) and not placeholders(body) & set(wanted):
        neither = " nor ".join(f"{{{name}}}" for name in wanted)
        yield Problem(f"{path}.body", f"holds neither {neither}, so the server would not see what is asked")


def _headers(path: str, headers: object) -> Iterator[Problem]:
    for header, value in headers.items() if isinstance(headers, Mapping) else ():
        if not isinstance(value, str):
            continue
        place = f"{path}.headers.{header}"
        variables = HEADER_VARIABLE.findall(value)
        if not variables and any(part in str(header).lower() for part in _OF_A_KEY):
            yield Problem(place, "must not hold the key itself; name an environment variable that does: $NAME")
        for variable in variables:
            if not os.environ.get(variable):
                yield Problem(place, f"the environment variable {variable} is not set", value)
