"""Filters by metadata: the same documents on every store, for every type and operator, and whatever the values hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import confrag
from confrag.errors import UserError
from tests.engine import Workplace, hashed_registered
from tests.integration.conftest import Running

LIGHT = ["map", "map_file", "chroma", "milvus_flat", "milvus_hnsw", "map_milvus_index"]
SERVERS = ["milvus_server", "milvus_lite_server", "chroma_server"]

TYPES = {"s": "string", "n": "int", "x": "float", "b": "bool", "d": "date", "l": "strings"}
NASTY = [
    "biology",
    "Biology",
    "",
    "0",
    "true",
    "null",
    '"',
    "'",
    "\\",
    '\\"',
    '" or 1==1 or "',
    "') OR 1=1 --",
    "\\u0041",
    "%",
    "_",
    "$gt",
    "${s}",
    "{s}",
    "汉字",
    "é€😀",
    "a b",
    "x" * 3000,
]
NUMBERS = [0, 1, -1, 7, 2**53 + 1, 2**63 - 1, 1 - 2**63]
FLOATS = [0.0, 1.0, -1.5, 0.1, 1 / 3, 0.1 + 0.2, 1e300, 5e-324]
DATES = ["0001-01-01", "1999-12-31", "2000-01-01", "2024-02-29", "9999-12-31"]
POOLS: Mapping[str, list[Any]] = {"s": NASTY, "n": NUMBERS, "x": FLOATS, "b": [True, False], "d": DATES, "l": NASTY}


def _documents() -> dict[str, dict[str, Any]]:
    """Name -> metadata: every value occurs, and every field is lacking somewhere."""
    documents: dict[str, dict[str, Any]] = {"none.txt": {}, "empty.txt": {"l": []}}
    for number, text in enumerate(NASTY):
        held = {field: pool[number % len(pool)] for field, pool in POOLS.items() if field != "l"}
        held["l"] = [NASTY[number], NASTY[(number * 7 + 3) % len(NASTY)]]
        documents[f"all {number}.txt"] = held
        documents[f"some {number}.txt"] = {
            key: value for place, (key, value) in enumerate(held.items()) if (number + place) % 3
        }
        documents[f"one {number}.txt"] = {"s": text}
    return documents


DOCUMENTS = _documents()
NAMES = sorted(DOCUMENTS)


def holds(held: Mapping[str, Any], name: str, filters: Mapping[str, Any]) -> bool:
    """The meaning of a filter, in plain Python."""
    return all(_field_holds({**held, "file": name}, field, wanted) for field, wanted in filters.items())


def _field_holds(held: Mapping[str, Any], field: str, wanted: Any) -> bool:
    if field not in held:
        return False
    value, several = held[field], isinstance(held[field], list)
    if not isinstance(wanted, Mapping):
        wanted = {"in": wanted} if isinstance(wanted, list) else {"contains" if several else "==": wanted}
    found = {
        "==": lambda limit: value == limit,
        "!=": lambda limit: value != limit,
        ">": lambda limit: value > limit,
        ">=": lambda limit: value >= limit,
        "<": lambda limit: value < limit,
        "<=": lambda limit: value <= limit,
        "in": lambda limit: bool(set(value) & set(limit)) if several else value in limit,
        "not in": lambda limit: not set(value) & set(limit) if several else value not in limit,
        "contains": lambda limit: limit in value,
    }
    return all(found[operator](limit) for operator, limit in wanted.items())


def _values(field: str) -> st.SearchStrategy[Any]:
    pool = st.sampled_from(POOLS[field])
    extra = {
        "n": st.integers(1 - 2**63, 2**63 - 1),
        "x": st.floats(allow_nan=False, allow_infinity=False),
        "d": st.dates().map(date.isoformat),
    }
    return pool | extra[field] if field in extra else pool


def _conditions(field: str) -> st.SearchStrategy[Any]:
    one, several = _values(field), st.lists(_values(field), max_size=4)
    if field == "l":
        operators = {"contains": one, "in": several, "not in": several}
    else:
        ordered = dict.fromkeys((">", ">=", "<", "<="), one) if field in "nxd" else {}
        operators = {"==": one, "!=": one, "in": several, "not in": several, **ordered}
    table = st.fixed_dictionaries({}, optional=operators).filter(bool)
    return one | several | table


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        **{field: _conditions(field) for field in POOLS},
        "file": st.sampled_from(NAMES) | st.lists(st.sampled_from([*NAMES, "other.txt"]), max_size=40),
    },
)


def fields() -> list[str]:
    return [f"doc_fields.{name}={kind}" for name, kind in TYPES.items()]


def write(docs: Path) -> None:
    for number, (name, held) in enumerate(DOCUMENTS.items()):
        # Far from each other: an index that is a graph may lose some of those that lie together.
        words = " ".join(f"word{6 * number + place}" for place in range(6))
        (docs / name).write_text(f"Harbour report: {words}.")
        (docs / f"{name}.meta.json").write_text(json.dumps(held, ensure_ascii=False), "utf-8")


ALL = ["retrievers.chunk.topk=200", *fields()]


@pytest.fixture(scope="module", params=LIGHT + SERVERS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[confrag.App]:
    """An engine over the documents, on each of the stores."""
    store: str = request.param
    place = Workplace(tmp_path_factory.mktemp(store))
    write(place.docs)
    preset, more = store, list(ALL)
    if store == "map_file":
        preset, more = "map", [*ALL, f"store_conf.kwargs.uri='{place.root}/map.db'"]
    if store in SERVERS:
        running: Running = request.getfixturevalue(store)
        preset = "chroma_remote" if running.kind == "Chroma" else "milvus_remote"
        more += [f"store_conf.kwargs.uri='{running.uri}'"]
        more += [f"store_conf.kwargs.{key}={value}" for key, value in running.arguments.items()]
        if running.kind == "Milvus":
            more += ["store_conf.kwargs.index_kwargs={index_type: FLAT, metric_type: COSINE}"]
    with hashed_registered(), place.load(preset, *more) as app:
        yield app


def found(app: confrag.App, filters: Mapping[str, Any]) -> set[str]:
    return {hit.file for hit in app.retrieve("harbour report", filters=filters)}


def expected(filters: Mapping[str, Any]) -> set[str]:
    return {name for name, held in DOCUMENTS.items() if holds(held, name, filters)}


@pytest.mark.parametrize(
    "filters",
    [
        {},
        *({field: value} for field, pool in POOLS.items() for value in pool),
        *({field: {"not in": pool[:2]}} for field, pool in POOLS.items()),
        *({field: {operator: pool[1]}} for field, pool in POOLS.items() if field != "l" for operator in ("!=", "==")),
        *({field: {op: POOLS[field][2]}} for field in "nxd" for op in (">", ">=", "<", "<=")),
        *({field: []} for field in POOLS),
        *({field: {"not in": []}} for field in POOLS),
        {"x": 1},
        {"n": {">": -2, "<": 8, "!=": 0}, "b": True},
        {"l": ["汉字", '"']},
        {"l": {"contains": "汉字", "not in": ['"', "0"]}, "s": {"!=": "biology"}},
        {"file": "all 1.txt"},
        {"file": {"not in": ["all 1.txt", "none.txt"]}, "s": "0"},
        {"file": {"!=": "all 1.txt"}},
        {"file": {"not in": []}, "b": False},
        {"s": NASTY * 20, "n": list(range(-400, 400))},
    ],
    ids=lambda filters: str(filters)[:60],
)
def test_each_operator_means_the_same_on_every_store(app: confrag.App, filters: dict[str, Any]) -> None:
    assert found(app, filters) == expected(filters)


def test_random_filters_find_what_plain_python_finds(app: confrag.App, request: pytest.FixtureRequest) -> None:
    store = request.node.callspec.params["app"]

    @settings(
        max_examples=60 if store.startswith("map") else 30,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(FILTERS)
    def check(filters: dict[str, Any]) -> None:
        assert found(app, filters) == expected(filters)

    check()


@pytest.mark.parametrize(
    "value",
    [
        'x" or docid != "',
        "x' OR '1'='1",
        '"] or true or s in ["',
        "x\0",
        "\0",
        '\\" or 1==1 or \\"',
        "\\",
        '"\\',
        "biology' --",
        "} or {",
        "\ud800",
        "\u2028",
        "$.global_meta",
    ],
    ids=ascii,
)
def test_no_value_is_more_than_a_value(app: confrag.App, value: str) -> None:
    for wanted in (value, [value, value * 2], {"!=": value}):
        everything = {name for name, held in DOCUMENTS.items() if "s" in held}
        cleaned = "".join(character for character in value if character.isprintable())
        plain = {name for name in everything if DOCUMENTS[name]["s"] == cleaned}
        assert found(app, {"s": wanted}) == (everything - plain if isinstance(wanted, dict) else plain)
    assert found(app, {"l": value}) == expected({"l": cleaned})


def test_the_best_within_a_filter_come_in_their_order(app: confrag.App) -> None:
    everything = app.retrieve("harbour word5 word77")
    wanted = expected({"b": True})
    within = [hit.id for hit in everything if hit.file in wanted]
    assert [hit.id for hit in app.retrieve("harbour word5 word77", filters={"b": True})] == within


def test_hits_carry_the_metadata_as_they_were_given(app: confrag.App) -> None:
    hits = {hit.file: hit.metadata for hit in app.retrieve("harbour report")}
    assert hits == DOCUMENTS


def test_a_filter_on_what_is_not_there(app: confrag.App) -> None:
    with pytest.raises(UserError) as caught:
        app.retrieve("harbour", filters={"year": 1, "n": {"contains": 1}, "b": "yes"})
    assert str(caught.value).splitlines() == [
        "filters.year: there is no field of this name to filter by; known: s, n, x, b, d, l, file "
        "(declare it in doc_fields)",
        "filters.n.contains: 'contains' is no operator of a field of type int; allowed: ==, !=, in, not in, "
        ">, >=, <, <=",
        "filters.b = 'yes': must be true or false; the field 'b' is of type bool",
    ]


@pytest.mark.parametrize("preset", ["map", "chroma", "milvus_flat"])
def test_filters_reach_every_route_and_add_up(tmp_path: Path, preset: str) -> None:
    place = Workplace(tmp_path)
    write(place.docs)
    both = ["recall=hybrid", "retrievers.lexical.topk=200", "retrievers.lexical.filters.s=biology", *ALL]
    with hashed_registered(), place.load(preset, *both, "retrievers.chunk.filters={n: {gte: 0}}") as app:
        routes: dict[str, set[str]] = {}
        for hit in app.retrieve("harbour report", topk=200, filters={"b": True}):
            for route in hit.route.split("+"):
                routes.setdefault(route, set()).add(hit.file)
    assert routes == {"chunk": expected({"n": {">=": 0}, "b": True}), "lexical": expected({"s": "biology", "b": True})}
