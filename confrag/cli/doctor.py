"""Verb `doctor`: what is installed, what is missing, which servers answer."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from confrag.cli.arguments import parse, wants_json
from confrag.config import compose
from confrag.config.overrides import split_queries
from confrag.config.validate import validate
from confrag.errors import ConfragError, ServiceError
from confrag.schema.store import is_server

__all__ = ["USAGE", "doctor"]

USAGE = {
    "doctor": "usage: confrag doctor [conf=NAME] [output=json] [override ...]\n\n"
    "Checks packages, local models and the state folder; with conf=NAME also what that configuration needs.\n"
    "Exit code 0 when nothing that is needed is missing, 2 when something is, 4 when a server does not answer."
}

_REQUIRED = ("hydra-core", "pydantic", "lazyllm", "pymilvus", "milvus-lite", "chromadb", "bm25s", "onnxruntime")
_OPTIONAL = {
    "xllamacpp": ("local-llm", "chat models in this process"),
    "redis": ("redis", "a cache of answers on a Redis server"),
    "matplotlib": ("bench", "the charts of benches as pictures"),
    "vllm": ("vllm", "chat models on a GPU of one's own"),
}
_STORE_SERVERS = {
    "milvus": "confrag.build.stores.milvus_remote",
    "chroma": "confrag.build.stores.chroma_places",
}
"""Kinds of stores that may be on a server -> the module that asks it."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. `status` is `ok`, `missing`, `unreachable` or `note`."""

    status: str
    what: str
    detail: str


def doctor(argv: Sequence[str]) -> int:
    """Report what is there and what is not."""
    arguments = parse(argv)
    _, overrides = split_queries(arguments.overrides)
    as_json = wants_json(overrides)
    findings = [*_packages(), *_folders()]
    # Any other word is about a configuration, be it the default one.
    if arguments.config_dir or any(not o.lstrip("+").startswith("output=") for o in overrides):
        findings += _configuration(overrides, arguments.config_dir)
    else:
        findings += _models([])
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2) + "\n")
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            sys.stdout.write(f"{finding.status:<11}  {finding.what:<{width}}  {finding.detail}\n")
    statuses = {finding.status for finding in findings}
    return 2 if "missing" in statuses else 4 if "unreachable" in statuses else 0


def _packages() -> Iterator[Finding]:
    good = (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding("ok" if good else "missing", "python", f"{platform.python_version()} (3.10 to 3.12 are supported)")
    for name in _REQUIRED:
        installed = _version(name)
        yield Finding("ok", name, installed) if installed else Finding("missing", name, f"pip install {name}")
    for name, (extra, purpose) in _OPTIONAL.items():
        installed = _version(name)
        if installed:
            yield Finding("ok", name, installed)
        else:
            yield Finding("note", name, f"not installed ({purpose}): pip install 'confrag[{extra}]'")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _folders() -> Iterator[Finding]:
    from confrag.build.models.fetch import models_dir

    yield _folder("working folder", Path.cwd())
    yield _folder("models folder", models_dir())


def _folder(what: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    writable = os.access(existing, os.W_OK)
    return Finding("ok" if writable else "missing", what, f"{folder}{'' if writable else ' cannot be written'}")


def _models(needed: Sequence[str]) -> Iterator[Finding]:
    from confrag.build.models.fetch import is_present
    from confrag.registry.catalogue import CATALOGUE

    for model in CATALOGUE.values():
        if is_present(model):
            yield Finding("ok", f"model {model.name}", f"{model.size / 1e6:.0f} MB")
        elif not needed or model.name in needed:
            yield Finding("note", f"model {model.name}", f"fetched on first need, or: confrag models pull {model.name}")


def _configuration(overrides: Sequence[str], config_dir: str | None) -> Iterator[Finding]:
    composed = compose(overrides, config_dir)
    name = composed.name or "custom"
    try:
        config = validate(composed)
    except ConfragError as error:
        yield Finding("missing", f"conf={name}", str(error))
        return
    from confrag.plan import compile_plan

    plan = compile_plan(config, name)
    yield Finding("ok", f"conf={name}", "the configuration is valid")
    yield _folder("state folder", Path(config.state_dir).expanduser().absolute())
    local = [model for model in plan.models if model.kind == "local"]
    yield from _models([str(model.params["model"]) for model in local])
    if any(model.role == "chat" for model in local) and not _version("xllamacpp"):
        yield Finding("missing", "xllamacpp", "needed by the chat model: pip install 'confrag[local-llm]'")
    for model in plan.models:
        if model.kind == "openai_compatible":
            yield _server(model.name, model.role, model.params.thaw())
        if model.kind == "vllm":
            yield _vllm(model.name, model.params["python"])
    if plan.cache and plan.cache.backend == "redis":
        yield _redis(plan.cache.backend_params.thaw())
    if plan.store.kind in _STORE_SERVERS and is_server(plan.store.params.get("uri")):
        yield _store(plan.store.kind, plan.store.params.thaw())


def _server(name: str, role: str, params: dict[str, object]) -> Finding:
    from confrag.build.models.openai_compatible import verify
    from confrag.build.models.services import address

    try:
        url = address(str(params["base_url"]), str(params["model"]), str(params["state_dir"]))
        verify(url, str(params["model"]), str(params["api_key_env"] or ""), 5.0, role)
    except ServiceError as error:
        return Finding("unreachable", f"models.{name}", str(error))
    except ConfragError as error:
        return Finding("missing", f"models.{name}", str(error))
    return Finding("ok", f"models.{name}", f"{url} answers")


def _redis(params: dict[str, Any]) -> Finding:
    from confrag.build.cache.redis import verify

    try:
        verify(**params)
    except ServiceError as error:
        return Finding("unreachable", "cache", str(error))
    except ConfragError as error:
        return Finding("missing", "cache", str(error))
    return Finding("ok", "cache", f"the Redis server that {params['url_env']} names answers")


def _vllm(name: str, python: str | None) -> Finding:
    from confrag.build.models.vllm import interpreter_with_vllm

    try:
        interpreter_with_vllm(python)
    except ConfragError as error:
        return Finding("missing", f"models.{name}", str(error))
    return Finding("ok", f"models.{name}", "vLLM is installed")


def _store(kind: str, params: dict[str, Any]) -> Finding:
    try:
        import_module(_STORE_SERVERS[kind]).verify(**params)
    except ServiceError as error:
        return Finding("unreachable", "store_conf", str(error))
    except ConfragError as error:
        return Finding("missing", "store_conf", str(error))
    return Finding("ok", "store_conf", f"{params['uri']} answers")
