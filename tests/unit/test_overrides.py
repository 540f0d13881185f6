"""What a user types behind a verb reaches the configuration as it was typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.cli.arguments import parse
from confrag.cli.launch import hydra_main
from confrag.config import compose, load
from confrag.config.overrides import normalize, quote, split_queries, unquote
from confrag.errors import UserError

# Every mark that Hydra's grammar, OmegaConf, YAML or a shell gives a meaning to, and everything else there is. What
# cannot stand in a process's arguments or in UTF-8 (NUL, surrogates) is left out.
MARKS = "'\"\\${}[](),:=#~@|+-*!?&%<>;/. \t\n\r" + "aé中0🚢"
TEXTS = st.text(st.sampled_from(MARKS) | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
PHRASES = [
    "???",
    "What is it about?",
    "Why, oh why, [exactly]?",
    "a,b",
    "key=value",
    "~home",
    "${query}",
    "\\${query}",
    "\\",
    "\\\\",
    "it's",
    'the "best" of them',
    "'quoted' and 'quoted'",
    " a ",
    "null",
    "true",
    "1e3",
    "[a, b]",
    "{a: b}",
    "choice(a, b)",
    "什么是 LightRAG？",
    "# @package _global_",
    "a\nb",
]


def questions(*arguments: str) -> list[str]:
    """The questions of the validated configuration, by the way that `confrag run` takes."""
    queries, others = split_queries(["conf=map", *arguments])
    _, config = load(None, [*others, f"++query=[{','.join(map(quote, queries))}]"])
    return list(config.query or ())


def raw(text: str) -> bool:
    """Neither quoted as a whole nor a list of quoted texts, which are the two forms with a meaning of their own."""
    return unquote(text) == text and not (text.strip()[:1] == "[" and text.strip()[-1:] == "]")


@settings(max_examples=12, deadline=None)  # each composes a configuration
@given(st.lists(TEXTS.filter(raw), min_size=1, max_size=40))
def test_any_text_is_a_question(texts: list[str]) -> None:
    assert questions(*(f"query={text}" for text in texts)) == texts


@settings(max_examples=12, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=40))
def test_any_text_is_a_question_when_quoted(texts: list[str]) -> None:
    escaped = [text.replace("\\", "").replace('"', '\\"') for text in texts]
    expected = [text.replace("\\", "") for text in texts]
    assert questions(*(f'query="{text}"' for text in escaped)) == expected


def test_phrases() -> None:
    assert questions(*(f"query={phrase}" for phrase in PHRASES)) == PHRASES


@settings(max_examples=300)
@given(TEXTS, st.sampled_from("'\""))
def test_quotes_come_off_as_hydra_takes_them_off(text: str, mark: str) -> None:
    quoted = f"{mark}{text}{mark}"
    try:
        override = OverridesParser.create().parse_override(f"query={quoted}")
    except HydraException:
        assert unquote(quoted) == quoted
        return
    # Two quoted texts with a comma between are a sweep to Hydra, and one question.
    assert unquote(quoted) == (quoted if override.is_sweep_override() else override.value())


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("query='[a]'", ["[a]"]),
        ('query="it\'s"', ["it's"]),
        (r"query='it\'s'", ["it's"]),
        (r"query='a\nb'", [r"a\nb"]),
        (r"query='ends in \\'", ["ends in \\"]),
        (r"query='no end\'", [r"'no end\'"]),
        ("query='a' or 'b'", ["'a' or 'b'"]),
        ("query=", [""]),
        ('query=["a","b"]', ["a", "b"]),
        ("query=['a, b', 'c']", ["a, b", "c"]),
        ("query=[\"a'\", 'b']", ["[\"a'\", 'b']"]),
        (r'query=["say \"hi\"", "中"]', ['say "hi"', "中"]),
        ("query=[a,b]", ["[a,b]"]),
        ("query=['a'] and ['b']", ["['a'] and ['b']"]),
        ("++query=x", ["x"]),
        ("+query=x", ["x"]),
    ],
)
def test_questions_of_an_argument(argument: str, expected: list[str]) -> None:
    assert split_queries([argument]) == (expected, [])


def test_only_query_is_taken_out() -> None:
    arguments = ["queries_file=q.txt", "query=a", "conf=map", "query=b", "prompts.query=c"]
    assert split_queries(arguments) == (["a", "b"], ["queries_file=q.txt", "conf=map", "prompts.query=c"])


def test_no_question_is_split_in_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, list[str]]] = []
    overrides = [
        "retrievers.chunk.topk=3,5",
        "llm=extractive,smollm2",
        f"++query=[{','.join(map(quote, PHRASES))}]",
    ]
    hydra_main(parse(["-m"]), overrides, lambda config: seen.append((config.retrievers.chunk.topk, config.query[:])))
    assert seen == [(topk, PHRASES) for topk in (3, 3, 5, 5)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("文档", "文档"),
        ("my documents", "my documents"),
        ("a=b", "a=b"),
        ("a#b", "a#b"),
        ("~/notes", "~/notes"),
        ("~x", "~x"),
        ("it's", "it's"),
        ("(draft", "(draft"),
        ("[draft", "[draft"),
        (r"C:\notes", r"C:\notes"),
        ("'quoted, text'", "quoted, text"),
        ("[a, b]", ["a", "b"]),
        ("1", 1),
        ("null", None),
    ],
)
def test_a_value_outside_hydras_grammar_is_text(typed: str, expected: object) -> None:
    assert compose([f"corpus.path={typed}"]).data["corpus"]["path"] == expected


@pytest.mark.parametrize(
    "typed",
    [
        "{'type': 'milvus', 'kwargs': {'uri': 'a b.db', 'db_name': None, 'index_kwargs': [{'index_type': 'FLAT'}]}}",
        '{"type": "milvus", "kwargs": {"uri": "a b.db", "db_name": null, "index_kwargs": [{"index_type": "FLAT"}]}}',
        "{type: milvus, kwargs: {uri: a b.db, db_name: null, index_kwargs: [{index_type: FLAT}]}}",
    ],
    ids=["python", "json", "hydra"],
)
def test_a_dictionary_in_any_notation(typed: str) -> None:
    kwargs = {"uri": "a b.db", "db_name": None, "index_kwargs": [{"index_type": "FLAT"}]}
    assert compose([f"store_conf={typed}"]).data["store_conf"] == {"type": "milvus", "kwargs": kwargs}


def test_a_key_that_the_yaml_leaves_out_can_be_set() -> None:
    assert normalize(["retrievers.chunk.weight=2", "conf=map", "store_conf={type: map}"], ["conf", "store_conf"]) == [
        "++retrievers.chunk.weight=2",
        "conf=map",
        "++store_conf={type: map}",
    ]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("what?", "'what?' is not understood: expected key=value (or group=option, or ~key)"),
        ("=x", "'=x' is not understood: expected key=value (or group=option, or ~key)"),
        ("corpus .path=x", "'corpus .path=x' is not understood: expected key=value (or group=option, or ~key)"),
        ("conf=null", "'conf=null' is not understood: leave a group out with ~conf"),
        ("a..b=1", "'++a..b='1'' is not understood: token recognition error at: '.'"),
    ],
)
def test_what_is_no_override(argument: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        normalize([argument], ["conf"])
    assert str(caught.value) == message
