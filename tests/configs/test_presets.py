"""Every packaged YAML: it composes, validates and plans, and it is described and listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from confrag.cli import main
from confrag.config import load
from confrag.config.sources import GLOBAL_HEADER, describe, group_names, options, packaged
from confrag.plan import Plan, compile_plan, draw
from confrag.registry import FAMILIES, builder

FILES = tuple(sorted(path.relative_to(packaged()) for path in packaged().rglob("*.yaml")))
PRESETS = options("conf")
CHOICES = tuple((group, option) for group in group_names() for option in options(group))

NEEDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("corpus", "folder"): ("corpus.path=.",),
    ("store_conf", "map_milvus_index"): ("retrievers.chunk.index=smart_embedding_index",),
    ("store_conf", "milvus_hybrid"): ("embed=bge_small_en_splade", "retrievers.chunk.embed_keys=[embed]"),
    ("embed", "bge_small_en_splade"): ("retrievers.chunk.embed_keys=[embed]",),
    ("recall", "hybrid_sparse"): ("embed=bge_small_en_splade", "store_conf=milvus_hybrid"),
}
"""What an option cannot do without, or is there for."""

NOT_IN_YAML: Mapping[str, set[str]] = {
    # A choice of the user's own; the packaged store_conf options name one backend each.
    "stores": {"split"},
    # Other ways of cutting, for node groups of the user's own.
    "transforms": {"recursive", "markdown", "llm_summary"},
    # A collection of the user's own; steps that depend on the documents.
    "steps": {"milvus", "keyword", "score_threshold"},
    # Needs a server.
    "cache_backends": {"redis"},
}
"""Kinds of the registry that no packaged YAML names."""


def planned(*overrides: str) -> Plan:
    composed, config = load(None, overrides)
    return compile_plan(config, composed.name)


def test_every_file_is_covered() -> None:
    assert len(FILES) > 20
    covered = {Path(group) / f"{option}.yaml" for group, option in CHOICES}
    own = {path for path in FILES if path.parts[0] != "hydra"}
    assert own == covered | {Path("config.yaml")}
    assert ("conf", "quickstart") in CHOICES


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_plans(preset: str) -> None:
    plan = planned(f"conf={preset}")
    assert plan.name == preset
    assert plan.retrievers
    for form in ("text", "mermaid", "json"):
        assert draw(plan, form)


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_an_option_is_chosen_and_plans_with_the_default_preset(group: str, option: str) -> None:
    composed, config = load(None, [f"{group}={option}", *NEEDS.get((group, option), ())])
    assert composed.choices[group] == option
    assert compile_plan(config, composed.name).recall.children


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_says_what_it_is(path: Path) -> None:
    lines = (packaged() / path).read_text("utf-8").splitlines()
    if path.parts[0] == "conf":
        assert lines[0] == GLOBAL_HEADER
    description = next(line for line in lines if not line.startswith("# @package"))
    assert description.startswith("# ")
    assert len(description) > 10
    if path.parts[0] != "hydra" and len(path.parts) > 1:
        assert describe(path.parts[0], path.stem) == description.removeprefix("# ")


def test_ls_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted([option, describe(group, option)] for group, option in CHOICES)


def _values(data: object, key: str) -> Iterator[str]:
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if name == key and isinstance(value, str):
            yield value
        yield from _values(value, key)


def test_the_kinds_of_the_registry_are_those_of_the_yaml() -> None:
    data = [yaml.safe_load((packaged() / path).read_text("utf-8")) for path in FILES if path.parts[0] != "hydra"]
    keys = ("kind", "type", "merge", "backend")
    named = {key: {value for part in data for value in _values(part, key)} for key in keys}
    families = {name: set(family.names) for name, family in FAMILIES.items()}
    documented = {name: kinds - NOT_IN_YAML.get(name, set()) for name, kinds in families.items()}
    parts = ("transforms", "indices", "models", "steps", "caches")
    assert named["kind"] == set().union(*(documented[name] for name in parts))
    assert named["type"] == documented["stores"]
    assert named["merge"] == documented["merges"]
    assert named["backend"] - {"milvus"} == documented["cache_backends"]
    assert all(kinds <= families[name] for name, kinds in NOT_IN_YAML.items())


def test_what_no_yaml_names_can_be_named_all_the_same() -> None:
    parts = {"segment_store": {"type": "map"}, "vector_store": {"type": "chroma"}}
    assert planned(f"store_conf={parts!r}").store.kind == "chroma"
    for kind in NOT_IN_YAML["transforms"]:
        plan = planned(f"node_groups.MediumChunk.transform.kind={kind}")
        assert [group.kind for group in plan.groups] == [kind]


KINDS = [(name, kind) for name, family in FAMILIES.items() for kind in family.names]
KINDS.remove(("stores", "split"))  # is planned as the kind of its vector_store


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_a_kind_can_be_built(family: str, kind: str) -> None:
    assert callable(builder(family, kind))
