"""The winner as a preset: composed again, it is the plan of the job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from confrag.config import compose
from confrag.config.validate import validate
from confrag.errors import UserError
from confrag.plan import compile_plan
from confrag.plan.model import Plan
from confrag.report.export import export, preset
from confrag.report.model import Job, Sweep
from tests.engine import hashed_registered

SETTINGS = [
    ["conf=map"],
    ["conf=milvus_hnsw", "recall=hybrid", "retrievers.chunk.topk=9"],
    # The preset itself chooses another option of the same group.
    ["conf=hybrid", "recall=dense"],
    ["conf=cached", "cache=semantic", "cache.similarity_threshold=0.9", "rerank=none"],
    ["conf=rag_final", "cache.ttl_s=null", "llm=extractive", "models.llm.passages=2"],
    ["recall=lexical", "generation.max_tokens=99", "store_conf={type: map, kwargs: {}}"],
    ["llm=openai_compatible", "models.llm.base_url='http://127.0.0.1:1'", "models.llm.model='a: \\'b\\' #'"],
    ["conf=qa_rewrite", "prompts.answer.system='只用中文回答：${oc.env:HOME}'"],
]  # fmt: skip
OF_THE_PLACE = ["corpus.path=docs", "dataset.path=data", "eval.depth=100", "state_dir=elsewhere", "resume=true"]


def job(*overrides: str, conf: str | None = None) -> Job:
    named = next((o.partition("=")[2] for o in overrides if o.startswith("conf=")), conf)
    document = {
        "conf": named,
        "overrides": list(overrides),
        "metrics": {"ndcg@10": 0.4126},
        "dataset": {"name": "harbour\nconf: evil"},
        "provenance": {"ended": "2026-01-05T10:00:04+00:00"},
    }
    return Job("winner", Path("sweep/3"), Sweep(Path("sweep")), "done", document, {"1": {}, "2": {}})


def plan(overrides: list[str], config_dir: Path | None = None) -> Plan:
    composed = compose(overrides, config_dir)
    return replace(compile_plan(validate(composed), composed.name), name="")


@pytest.mark.parametrize("overrides", SETTINGS, ids=" ".join)
def test_the_preset_is_the_plan_of_the_job(tmp_path: Path, overrides: list[str]) -> None:
    path = export(job(*overrides, *OF_THE_PLACE, conf="quickstart"), "winner", tmp_path, "ndcg@10")
    assert path == tmp_path / "conf" / "winner.yaml"
    assert plan(["conf=winner"], tmp_path) == plan(overrides)


def test_a_preset_that_people_can_read(tmp_path: Path) -> None:
    overrides = ["conf=hybrid", "recall=dense", "retrievers.chunk.topk=9", "retrievers.chunk.weight=0.5", *OF_THE_PLACE]
    assert preset(job(*overrides), "ndcg@10") == (
        "# @package _global_\n"
        "# nDCG@10 0.413 on harbour conf: evil (2 queries), 2026-01-05.\n"
        "# The documents are yours: corpus.path=DIR.\n"
        "defaults:\n"
        "  - hybrid\n"
        "  - override /recall: dense\n"
        "  - _self_\n"
        "retrievers:\n"
        "  chunk:\n"
        "    topk: 9\n"
        "    weight: 0.5\n"
    )


def test_a_preset_of_the_users_own_is_built_upon(tmp_path: Path) -> None:
    own = tmp_path / "conf" / "own.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\n# Mine.\ndefaults:\n  - override /recall: lexical\n", "utf-8")
    export(job("conf=own", "generation.max_tokens=7"), "winner", tmp_path, "ndcg@10")
    assert plan(["conf=winner"], tmp_path) == plan(["recall=lexical", "generation.max_tokens=7"])
    with pytest.raises(UserError) as caught:
        preset(job("conf=own"), "ndcg@10")
    assert str(caught.value) == (
        "sweep/3: it was based on the preset 'own', which does not exist here; name the folder that has it with "
        "--config-dir"
    )


def test_the_exported_preset_answers(tmp_path: Path) -> None:
    import confrag

    export(job("conf=map", "llm=extractive", "recall=lexical"), "winner", tmp_path, "ndcg@10")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The harbour office opens at nine.", "utf-8")
    place = [f"corpus.path={tmp_path / 'docs'}", f"state_dir={tmp_path / 'state'}"]
    with hashed_registered(), confrag.load("winner", overrides=place, config_dir=tmp_path) as app:
        assert "nine" in app.ask("When does the office open?").text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hybrid", "name=hybrid: a packaged preset has this name, and it would win; choose another one"),
        ("../up", "name=../up: letters, digits, _ and - only"),
        ("", "name=: letters, digits, _ and - only"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        export(job("conf=map"), name, tmp_path, "ndcg@10")
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = export(job("conf=map"), "winner", tmp_path, "ndcg@10")
    before = path.read_text("utf-8")
    with pytest.raises(UserError) as caught:
        export(job("conf=chroma"), "winner", tmp_path, "ndcg@10")
    assert str(caught.value) == f"{path} exists; choose another name, or replace it with force=true"
    assert path.read_text("utf-8") == before
    export(job("conf=chroma"), "winner", tmp_path, "ndcg@10", force=True)
    assert "  - chroma\n" in path.read_text("utf-8")


def test_a_deleted_key_cannot_be_exported() -> None:
    with pytest.raises(UserError) as caught:
        preset(job("conf=rag_final", "~retrievers.sentence"), "ndcg@10")
    assert str(caught.value) == "sweep/3: its override '~retrievers.sentence' deletes a key, which a preset cannot do"


def test_what_a_preset_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export(job("conf=map", "models.llm.kind=extractive"), "winner", tmp_path, "ndcg@10")
    assert str(caught.value).startswith("sweep/3: its overrides cannot be written as a preset: models.llm.")
    assert str(caught.value).endswith(
        "; 'models.llm.kind=extractive' drops keys, which a preset cannot: choose an option of its group instead"
    )
    assert list((tmp_path / "conf").iterdir()) == []


def test_a_group_that_was_left_out_stays_out(tmp_path: Path) -> None:
    export(job("conf=rag_final", "~rerank"), "winner", tmp_path, "ndcg@10")
    assert plan(["conf=winner"], tmp_path) == plan(["conf=rag_final", "~rerank"])
