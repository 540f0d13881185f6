"""What every place of a cache does, in memory, in a file and on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confrag.build.cache import disk, memory
from confrag.build.cache.backend import Backend, Entry
from confrag.build.cache.redis import Redis
from confrag.errors import UserError
from tests.integration import servers

PLACES = ("memory", "disk", "redis")
Make = Callable[..., Backend]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server, url = servers.redis(tmp_path_factory.mktemp("redis"), password="a password")
    yield url.replace("a password", "a%20password")
    server.stop()


@pytest.fixture(params=PLACES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens a place; one that others open shows the same entries, but for memory."""
    opened: list[Backend] = []

    def make(max_entries: int = 10, ttl_s: float | None = None) -> Backend:
        if request.param == "memory":
            place: Backend = memory.Memory(max_entries, ttl_s)
        elif request.param == "disk":
            place = disk.Disk(tmp_path / "cache.sqlite3", max_entries, ttl_s)
        else:
            place = Redis(request.getfixturevalue("redis_url"), tmp_path.name, max_entries, ttl_s, 2.0)
        opened.append(place)
        return place

    yield make
    opened[0].clear()
    for place in opened:
        place.close()


def entry(text: str, space: str = "s", vector: bytes | None = None) -> Entry:
    return Entry({"text": text, "nodes": [], "seconds": 0.5, "tokens": [1, 2]}, space, vector)


def test_what_is_put_is_got(make: Make) -> None:
    place = make()
    assert place.get("a") is None
    place.put("a", entry("héllo 世界 \ud800"))
    assert place.get("a") == entry("héllo 世界 \ud800").value
    place.put("a", entry("another"))
    assert place.get("a") == entry("another").value
    place.remove("a")
    place.remove("never there")
    assert place.get("a") is None


def test_the_ones_not_used_for_longest_go(make: Make) -> None:
    place = make(max_entries=3)
    for key in "abc":
        place.put(key, entry(key))
    if not isinstance(place, disk.Disk):  # a file notes a use once a minute
        place.get("a")
        place.put("d", entry("d"))
        assert [key for key in "abcd" if place.get(key)] == ["a", "c", "d"]
    else:
        place.put("d", entry("d"))
        assert [key for key in "abcd" if place.get(key)] == ["b", "c", "d"]
    assert place.holding().entries == 3
    assert place.holding().evictions == 1


def test_an_entry_that_is_too_old(make: Make) -> None:
    place = make(ttl_s=0.05)
    place.put("a", entry("a"))
    threading.Event().wait(0.1)
    assert place.get("a") is None


def test_vectors_by_space(make: Make) -> None:
    place = make(max_entries=3)
    place.put("a", entry("a", "one", b"aaaa"))
    place.put("b", entry("b", "two", b"bbbb"))
    place.put("c", entry("c", "one"))
    first = place.vectors("one", None)
    assert dict(first.items or {}) == {"a": b"aaaa"}
    assert place.vectors("one", first.token).items is None
    place.put("d", entry("d", "one", b"dddd"))
    held = dict(place.vectors("one", first.token).items or {})
    assert held["d"] == b"dddd"


def test_totals_add_up(make: Make) -> None:
    place = make()
    place.add({"hits": 2, "saved_s": 0.5})
    place.add({"hits": 1})
    assert place.totals() == {"hits": 3, "saved_s": 0.5}


def test_clearing(make: Make) -> None:
    place = make()
    for key in "abc":
        place.put(key, entry(key, "s", b"1234"))
    place.add({"hits": 1})
    assert place.holding().bytes > 100
    assert place.clear() == 3
    assert (place.holding().entries, place.holding().bytes) == (0, 0)
    assert place.totals() == {}
    assert not place.vectors("s", None).items


def test_many_threads(make: Make) -> None:
    place = make(max_entries=50)
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(30):
            key = f"k{(number * 7 + turn) % 60}"
            place.put(key, entry(key))
            value = place.get(key)
            if value is not None and value["text"] != key:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert place.holding().entries <= 50


@pytest.mark.parametrize("make", PLACES[1:], indirect=True)
def test_others_see_it(make: Make) -> None:
    one, other = make(), make()
    one.put("a", entry("a", "s", b"aaaa"))
    assert other.get("a") == entry("a").value
    seen = other.vectors("s", None)
    assert dict(seen.items or {}) == {"a": b"aaaa"}
    one.put("b", entry("b", "s", b"bbbb"))
    assert dict(other.vectors("s", seen.token).items or {}) == {"a": b"aaaa", "b": b"bbbb"}


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite3").write_text("not a database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(UserError, match=r"cannot be used as cache of answers: .* Delete it; it fills again"):
        disk.Disk(tmp_path / "cache.sqlite3", 10, None)


def test_a_prefix_that_looks_like_a_pattern(redis_url: str) -> None:
    other, place = Redis(redis_url, "abc", 10, None, 2.0), Redis(redis_url, "a*c[x]-", 10, None, 2.0)
    try:
        other.put("a", entry("a"))
        place.put("b", entry("b"))
        assert place.clear() == 1
        assert place.holding().entries == 0
        assert other.get("a") is not None
        assert other.clear() == 1
    finally:
        other.close()
        place.close()
