"""What is said of models behind servers before any is asked: sources, keys, stand-ins, templates, frameworks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from confrag.build.models.trainable import framework, module
from confrag.config import load
from confrag.errors import ConfigError, MissingDependencyError, UserError
from confrag.plan import compile_plan
from confrag.schema.models import FRAMEWORKS

HTTP = "role: chat, kind: custom_http, url: 'http://127.0.0.1:9/x', response: a"
OTHER = "role: chat, kind: openai_compatible, base_url: 'http://127.0.0.1:9/v1', model: m"


def told(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("online", overrides)
    return [str(problem) for problem in caught.value.problems]


CHAT = "aiping, claude, deepseek, doubao, glm, kimi, minimax, openai, openrouter, ppio, qwen, sensenova, siliconflow"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["models.llm.source=deepsek"],
            "models.llm.source = 'deepsek': LazyLLM has no source of this name for the role 'chat'; "
            f"known: {CHAT}. Did you mean 'deepseek'?",
        ),
        (
            ["models.embed.source=kimi"],
            "models.embed.source = 'kimi': LazyLLM has no source of this name for the role 'embed'; "
            "known: aiping, doubao, glm, openai, openrouter, qwen, sensenova, siliconflow",
        ),
        (
            ["models.llm.api_key_env=NOT_SET_ANYWHERE"],
            "models.llm.api_key_env = 'NOT_SET_ANYWHERE': the environment variable NOT_SET_ANYWHERE is not set",
        ),
        (
            ["+models.embed.fallback=[llm]"],
            "models.embed.fallback = ['llm']: an embedding model has no stand-in: vectors of two models cannot be "
            "compared. Leave it out",
        ),
        (["+models.llm.fallback=[llm]"], "models.llm.fallback = 'llm': a model cannot stand in for itself"),
        (
            [f"+models.second={{{OTHER}}}", "+models.llm.fallback=[secnd]"],
            "models.llm.fallback = 'secnd': there is no other model of this name with the role 'chat'; known: second. "
            "Did you mean 'second'?",
        ),
        (
            ["+models.quote={role: chat, kind: extractive}", "+models.llm.fallback=[quote]"],
            "models.llm.fallback = 'quote': a model of the kind 'extractive' quotes and cannot write; name another",
        ),
        (
            ["+models.llm.base_url=http://me:pw@127.0.0.1/v1"],
            "models.llm.base_url: must not hold a name or password, since an address is shown and logged; use "
            "api_key_env or headers",
        ),
        (
            [f"+models.own={{{HTTP}, body: {{q: '{{question}}'}}}}"],
            "models.own.body: holds neither {messages} nor {prompt}, so the server would not see what is asked",
        ),
        (
            [f"+models.own={{{HTTP}, body: {{q: '{{prompt}}'}}, headers: {{X-Api-Key: abc}}}}"],
            "models.own.headers.X-Api-Key: must not hold the key itself; name an environment variable that does: $NAME",
        ),
        (
            [f"+models.own={{{HTTP}, body: {{q: '{{prompt}}'}}, headers: {{X: '$NOT_SET_ANYWHERE'}}}}"],
            "models.own.headers.X = '$NOT_SET_ANYWHERE': the environment variable NOT_SET_ANYWHERE is not set",
        ),
        (
            ["+models.own={role: embed, kind: trainable, model: bge-m3, deploy: vllm}"],
            "models.own.deploy = 'vllm': does not serve models of the role 'embed'; these do: infinity",
        ),
        (["+models.llm.retries=-1"], "models.llm.retries = -1: must be greater than or equal to 0"),
        (["+models.llm.rate_limit=0"], "models.llm.rate_limit = 0: must be greater than or equal to 1"),
    ],
)
def test_a_mistake(overrides: list[str], message: str) -> None:
    assert message in told(*overrides)


def test_a_key_is_not_repeated() -> None:
    (problem,) = told("+models.llm.api_key=sk-123")
    assert problem.startswith("models.llm.api_key: unknown key; known here: ")
    assert problem.endswith("Did you mean 'api_key_env'?")


def test_words_for_a_shell_are_plain() -> None:
    (problem,) = told("+models.own={role: chat, kind: trainable, model: qwen, options: {tp: '2; rm -rf x'}}")
    assert problem == (
        "models.own.options.tp: '2; rm -rf x' must be one plain word, a number, true or false: LazyLLM puts it into a "
        "command line of a shell"
    )


def test_options_keep_their_types() -> None:
    own = "{role: chat, kind: trainable, model: a/b, options: {tp: 2, eager: true, share: 0.5, dtype: half}}"
    _, config = load("online", [f"+models.own={own}"])
    assert config.models["own"].options == {"tp": 2, "eager": True, "share": 0.5, "dtype": "half"}  # type: ignore[attr-defined]


def test_a_stand_in_is_planned_and_changes_no_collection() -> None:
    _, alone = load("online")
    _, backed = load(
        "online",
        [
            f"+models.second={{{OTHER}}}",
            "+models.llm.fallback=[second]",
            "+models.embed.retries=9",
            "+models.embed.rate_limit=60",
        ],
    )
    assert [model.name for model in compile_plan(alone).models] == ["embed", "llm"]
    assert [model.name for model in compile_plan(backed).models] == ["embed", "llm", "second"]
    assert compile_plan(alone).collection == compile_plan(backed).collection


@pytest.mark.parametrize("role", FRAMEWORKS)
def test_a_framework_that_is_not_installed(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as caught:
        framework(role, "auto")  # type: ignore[arg-type]
    package, command = {"chat": ("vllm", "vllm")}.get(role, ("infinity_emb", "'infinity-emb[all]'"))
    assert str(caught.value) == (
        f"deploying a {role} model here (kind: trainable) needs the package '{package}', which is not installed. "
        f"Install it with: pip install {command}"
    )


def test_auto_takes_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "lightllm" else None)
    assert framework("chat", "auto") == "lightllm"


@pytest.mark.parametrize(("role", "deploy"), [(role, name) for role, names in FRAMEWORKS.items() for name in names])
def test_lazyllm_s_module_is_made(role: str, deploy: str, tmp_path: Path) -> None:
    made = module(role, str(tmp_path), deploy, {}, trust_remote_code=False)  # type: ignore[arg-type]
    assert made.base_model == str(tmp_path)
    assert made.type.lower() == {"chat": "llm"}.get(role, role)


def test_a_model_that_cannot_be_had() -> None:
    with pytest.raises(UserError, match=r"LazyLLM (cannot fetch the model|knows no model) 'no/such-model-at-all'"):
        module("chat", "no/such-model-at-all", "vllm", {}, trust_remote_code=False)
