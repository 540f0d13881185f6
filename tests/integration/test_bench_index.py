"""The bench `index`: what is asserted are laws; times are for the reader of the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from confrag.bench.index import SIZES, ratios, run
from confrag.bench.index_child import look_ups, nearest
from confrag.bench.report import Row
from confrag.bench.request import Request
from confrag.errors import UserError


@pytest.mark.parametrize("case", ["default", "exact", "hnsw", "raw_hnswlib", "milvus_hnsw"])
def test_each_way_finds_the_nearest(case: str) -> None:
    result = nearest({"case": case, "size": 300, "times": 5})
    assert result["recall"] >= 0.97
    assert (result["retrieval_ms"] is None) == (case == "raw_hnswlib")
    assert (result["search_ms"] is None) == (case not in ("hnsw", "raw_hnswlib"))
    assert result["build_s"] > 0


@pytest.mark.parametrize("case", ["default", "linear", "trie"])
def test_each_way_finds_a_word(case: str, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\n".join(["aardvark", "lazyllm", "other", "words", "zyzzogeton"]))
    result = look_ups({"case": case, "file": str(file), "asked": ["lazyllm", "zyzzogeton"], "times": 2})
    assert result["found"] == {"lazyllm": ["lazyllm"], "zyzzogeton": ["zyzzogeton"]}
    assert result["retrieval_ms"].keys() == result["found"].keys()
    assert bool(result["look_up_ms"]) == (case != "default")


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    size = str(SIZES[0])
    command = [sys.executable, "-m", "confrag", "bench", "index", size, "bench.repeats=1", "output=json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=570, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["bench"] == "index"
    value = {(row["case"], row["measure"]): row["value"] for row in document["rows"]}
    for case in ("default", "exact", "hnsw", "milvus_hnsw"):
        assert value[case, f"retrieval, {size} vectors"] > 0
        assert value[case, f"recall@10, {size} vectors"] >= 0.97
    assert document["ratios"] == {}  # they are those of ten thousand vectors, and of the words


def test_ratios() -> None:
    rows = [
        Row("linear", "look-up, the last word", 50.0, "ms"),
        Row("trie", "look-up, the last word", 0.05, "ms"),
        Row("default", "retrieval, 10000 vectors", 600.0, "ms"),
        Row("hnsw", "retrieval, 10000 vectors", 0.5, "ms"),
        Row("hnsw", "search, 10000 vectors", 0.12, "ms"),
        Row("raw_hnswlib", "search, 10000 vectors", 0.1, "ms"),
        Row("hnsw", "recall@10, 10000 vectors", 0.99, ""),
        Row("milvus_hnsw", "recall@10, 10000 vectors", 0.98, ""),
    ]
    assert ratios(rows) == pytest.approx(
        {
            "linear_over_trie_last_word": 1000,
            "default_over_hnsw_10000": 1200,
            "hnsw_over_raw_hnswlib_10000": 1.2,
            "hnsw_recall_at_10": 0.99,
            "milvus_hnsw_recall_at_10": 0.98,
        }
    )
    assert ratios([]) == {}


def test_a_part_that_there_is_not() -> None:
    with pytest.raises(
        UserError, match=r"^bench index knows no part 'word'; known: words, 1614, .* Did you mean 'words'\?$"
    ):
        run(Request(("word",)), lambda stage, done, total: None)
