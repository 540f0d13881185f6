"""The direction of imports, and how light the light parts are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from confrag.config.sources import options

PACKAGE = Path(confrag.__file__).parent
HEAVY = ("lazyllm", "pymilvus", "milvus_lite", "chromadb", "torch", "numpy", "onnxruntime", "pandas", "spacy", "nltk")
PRIVATE = PACKAGE / "build" / "private"
ENGINE = sorted(path for part in ("build", "runtime") for path in (PACKAGE / part).rglob("*.py"))


def python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_contracts_of_import_linter() -> None:
    root = PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the contracts stand in pyproject.toml, which an installed package does not have")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    assert "0 broken" in python(code, cwd=root)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_build_and_runtime_import_lazyllm() -> None:
    importing = {path for path in PACKAGE.rglob("*.py") if any(n.split(".")[0] == "lazyllm" for n in imports(path))}
    assert importing
    assert importing <= set(ENGINE)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _own_names(tree: ast.AST) -> set[str]:
    """Private names that a module defines itself: functions, classes, attributes, slots, fields."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if ast.unparse(node.value) in ("self", "cls"):  # what is set of another object is that object's
                names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def private_uses(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    own = _own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lazyllm":
            yield from (alias.name for alias in node.names if _is_private(alias.name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            yield ast.unparse(node)


NOT_LAZYLLMS = {
    "hashlib._Hash",
    # Chroma's table of open databases.
    "SharedSystemClient._identifier_to_refcount",
    "SharedSystemClient._identifier_to_system",
    # The timeout of Chroma's HTTP client.
    "client._server",
    "client._server._session",
    # Milvus Lite's state of a collection.
    "collection._index_specs",
    "collection._segments_snapshot",
    "collection._memtable",
    "collection._wait_for_bg",
}
"""Private names of other libraries; LazyLLM's have no exception."""


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_package_touches_private_names(path: Path) -> None:
    found = set(private_uses(path)) - NOT_LAZYLLMS
    if path.parent == PRIVATE and path.name != "__init__.py":
        assert found
    else:
        assert not found


def test_importing_confrag_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import confrag"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "confrag" in imported
    assert not imported & {*HEAVY, "hydra", "omegaconf", "pydantic", "yaml", "rich"}


LOADED = f"""
import sys
from confrag.cli import main
code = main(sys.argv[1:])
assert code == 0, code
found = {{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r})
assert not found, found
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *(
            [verb, "--help"]
            for verb in ("run", "validate", "show", "graph", "ls", "init", "models", "bench", "doctor", "serve")
        ),
        ["ls"],
        ["validate"],
        ["show", "where=true"],
        ["graph"],
        ["run", "--cfg", "job"],
    ],
    ids=" ".join,
)
def test_what_needs_no_engine_loads_none(arguments: list[str], tmp_path: Path) -> None:
    assert python(LOADED, *arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_validating_any_preset_loads_no_engine(tmp_path: Path) -> None:
    each = LOADED.replace(
        "code = main(sys.argv[1:])", "code = sum(main(['validate', f'conf={n}']) for n in sys.argv[1:])"
    )
    assert python(each, *options("conf"), cwd=tmp_path).count("is valid") == len(options("conf"))
