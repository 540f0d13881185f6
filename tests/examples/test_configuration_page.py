"""docs/configuration.md documents the keys of the schema: all of them, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from confrag.config.sources import options
from confrag.registry import FAMILIES
from confrag.schema.base import Family
from confrag.schema.root import Config, Options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
SECTIONS = {
    title: set(re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE))
    for title, body in re.findall(r"^###? (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
KEYS = [key for key in Config.model_fields if key not in Options.model_fields]


def declared(path: str, annotation: Any) -> Iterator[str]:
    """The path of a key and of all keys below it that do not depend on a kind."""
    yield path
    yield from _below(path, annotation)


def _below(path: str, annotation: Any) -> Iterator[str]:
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        chosen = any(isinstance(extra, Family) or getattr(extra, "discriminator", None) for extra in inner[1:])
        yield from () if chosen else _below(path, inner[0])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for key, hint in _hints(annotation).items():
            yield from declared(f"{path}.{key}", hint)
    elif get_origin(annotation) is tuple:
        yield from _below(f"{path}.N", inner[0])
    elif inner and isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping):
        yield from _below(f"{path}.NAME", inner[1])
    else:
        for part in inner:
            yield from _below(path, part)


def _hints(spec: type[BaseModel]) -> dict[str, Any]:
    hints = get_type_hints(spec, include_extras=True)
    return {field.alias or key: hints[key] for key, field in spec.model_fields.items()}


def test_the_pages_are_the_generated_ones(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", tmp_path], check=True, timeout=120)
    generated = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.md")}
    assert {f"presets/{name}.md" for name in options("conf")} | {"presets/index.md"} == generated.keys() - {
        "configuration.md"
    }
    written = {name: (ROOT / "docs" / name).read_text("utf-8") for name in generated}
    assert written == generated, "out of date; run: python docs/generate.py"
    assert sorted(path.name for path in (ROOT / "docs" / "presets").glob("*.md")) == sorted(
        name.removeprefix("presets/") for name in generated if name.startswith("presets/")
    )


def test_top_level_keys() -> None:
    assert [title for title in SECTIONS if re.fullmatch(r"\w+", title)] == KEYS
    options = {path for key, hint in _hints(Options).items() for path in declared(key, hint)}
    assert SECTIONS["What one call asks for"] == options


@pytest.mark.parametrize("key", KEYS)
def test_keys_below_a_top_level_key(key: str) -> None:
    paths = set(declared(key, _hints(Config)[key]))
    assert SECTIONS[key] == (paths - {key} or paths)


@pytest.mark.parametrize(("family", "kind"), [(name, kind.name) for name in FAMILIES for kind in FAMILIES[name]])
def test_keys_of_a_kind(family: str, kind: str) -> None:
    table = FAMILIES[family]
    hints = _hints(table[kind].spec)
    expected = {path for key, hint in hints.items() if key != table.tag for path in declared(key, hint)}
    prefix = {
        "stores": "store_conf,",
        "transforms": "node_groups.",
        "indices": "indices.",
        "caches": "cache,",
        "cache_backends": "cache.backend,",
        "models": "models.",
        "steps": "recall,",
        "merges": "recall…",
    }
    ending = "with `segment_store` and `vector_store`" if expected >= {"segment_store"} else f"`{table.tag}: {kind}`"
    (title,) = (t for t in SECTIONS if t.startswith(prefix[family]) and t.endswith(ending))
    assert SECTIONS[title] == expected
