"""The wheel: everything is in it, and it works from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
INSTALLED_AS = {"conf": "confrag/conf", "examples/corpus": "confrag/sample", "examples/starter": "confrag/starter"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--quiet",
        "--wheel-dir",
        str(folder),
        str(REPOSITORY),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; its dependencies are those of the running one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    interpreter = folder / "bin" / "python"
    site = subprocess.run(
        [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    install = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--no-deps", "--quiet", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    # A path named in a .pth file is searched, but its own .pth files are not run: no editable install gets in.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CONFRAG_CONFIG_DIR")}
    return subprocess.run(
        [str(python), "-m", "confrag", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_yaml_and_document_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{package}/{path.relative_to(REPOSITORY / folder).as_posix()}"
        for folder, package in INSTALLED_AS.items()
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(expected) > 30
    assert expected <= names
    assert "confrag/py.typed" in names


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "confrag").rglob("*.py")}
    assert modules <= names


def test_it_runs_from_another_folder(python: Path, tmp_path: Path) -> None:
    where = run(python, tmp_path, "ls", "conf")
    assert where.returncode == 0, where.stderr
    assert "milvus_hnsw" in where.stdout
    location = subprocess.run(
        [str(python), "-c", "import confrag; print(confrag.__file__)"], capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert str(python.parent.parent) in location
    valid = run(python, tmp_path, "validate", "conf=multi_route")
    assert (valid.returncode, valid.stdout) == (0, "configuration 'multi_route' is valid\n"), valid.stderr
    wrong = run(python, tmp_path, "validate", "conf=multi_rout")
    assert wrong.returncode == 2
    assert "Did you mean 'multi_route'?" in wrong.stderr
    started = run(python, tmp_path, "init", "project")
    assert started.returncode == 0, started.stderr
    own = run(python, tmp_path / "project", "validate", "--config-dir", ".", "conf=handbook")
    assert own.returncode == 0, own.stderr
