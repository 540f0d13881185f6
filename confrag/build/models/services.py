"""Model services that run apart from the RAG process: where they listen, as files below `state_dir`.

A service holds the lock beside its file for as long as it lives, and the system frees the lock of a process that is
killed: so a dead entry is told from a live one, whatever its process id means by now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from confrag.errors import ServiceError, UserError
from confrag.plan.model import canonical

__all__ = ["Service", "address", "announce", "claimed", "fingerprint", "folder", "named", "running"]


@dataclass(frozen=True)
class Service:
    """A model that is served.

    Attributes:
        model: the name that requests give.
        base_url: where, up to and including ``/v1``.
        pid: of the process that serves it.
        fingerprint: of the parameters that it was started with.
    """

    model: str
    base_url: str
    pid: int
    fingerprint: str


def folder(state_dir: str | None) -> Path:
    """Where the files lie; the logs of servers, too."""
    return Path(state_dir or ".confrag").expanduser().absolute() / "services"


def fingerprint(kind: str, parameters: Mapping[str, Any]) -> str:
    """A digest of what a server is started with; 16 hexadecimal digits."""
    return hashlib.sha256(canonical([kind, parameters]).encode()).hexdigest()[:16]


@contextmanager
def claimed(mark: str, state_dir: str | None) -> Iterator[Path]:
    """Be the one that serves what this fingerprint stands for.

    Args:
        mark: the fingerprint.
        state_dir: below which others look for it.

    Yields:
        The file to `announce` the service by; it is removed in the end.

    Raises:
        UserError: another process serves it, or nothing can be written there.
    """
    path = folder(state_dir) / f"{mark}.json"
    lock = _lock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1.0)  # who looks whether it is held holds it for a moment
    except Timeout:
        other = next((service for service in running(state_dir) if service.fingerprint == mark), None)
        where = f"at {other.base_url} by process {other.pid}" if other else "by another process, which is starting"
        raise UserError(f"this model is served already, {where}") from None
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be written: {error.strerror or error}") from None
    try:
        path.unlink(missing_ok=True)  # of one that was killed
        yield path
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def announce(path: Path, service: Service) -> None:
    """Say where a service listens, once it does."""
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(asdict(service), indent=1) + "\n", "utf-8")
    written.replace(path)


def running(state_dir: str | None) -> list[Service]:
    """The services that are alive. The files of others are ignored."""
    found = []
    for path in sorted(folder(state_dir).glob("*.json")):
        if not _held(path):
            continue
        try:
            found.append(Service(**json.loads(path.read_text("utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # it ends at this moment, or another version wrote it
    return found


def address(base_url: str, model: str, state_dir: str | None) -> str:
    """`base_url`, or where the model is ``served``. Raises what `named` does."""
    return named(model, state_dir).base_url if base_url == "served" else base_url


def named(model: str, state_dir: str | None) -> Service:
    """The service of a model.

    Raises:
        ServiceError: none is alive; the message says how to start it.
        UserError: there are several.
    """
    alive = running(state_dir)
    matching = [service for service in alive if service.model == model]
    if len(matching) == 1:
        return matching[0]
    if matching:
        places = ", ".join(service.base_url for service in matching)
        raise UserError(f"the model '{model}' is served more than once, at {places}: name one of these as base_url")
    others = f"; served now: {', '.join(service.model for service in alive)}" if alive else ""
    raise ServiceError(
        f"no service of the model '{model}' is running ({folder(state_dir)}){others}. "
        "Start it with: confrag models serve conf=NAME"
    )


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"))


def _held(path: Path) -> bool:
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
