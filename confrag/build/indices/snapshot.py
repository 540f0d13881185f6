"""What an index keeps on disk beside the store, to begin with where it left off.

A snapshot is a folder of files, told apart from what is half written, damaged or made otherwise by the one small file
that names it. Nothing depends on it: whoever finds none that can be used builds the index anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["DamagedError", "Kept", "Snapshot", "folder_name"]

_CURRENT = "current.json"
_PREFIX = "v-"
_FORMAT = 1
_CHUNK = 1 << 20


class DamagedError(ValueError):
    """A snapshot is not as it was written."""


def folder_name(name: str) -> str:
    """A name of any letters as the name of a folder, different for different names."""
    return (
        f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:40]}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that was found.

    Attributes:
        folder: where its files lie.
        files: name -> size in bytes and CRC-32.
    """

    folder: Path
    files: Mapping[str, tuple[int, int]]

    def path(self, name: str) -> Path:
        """Where one of its files lies, which is as it was written.

        Raises:
            DamagedError: it is not.
            OSError: it cannot be read; another process has written a newer snapshot, perhaps.
        """
        path = self.folder / name
        if name not in self.files or _measure(path) != tuple(self.files[name]):
            raise DamagedError(f"{path} is not as it was written")
        return path

    def whole(self) -> Path:
        """The folder, all of whose files are as they were written. Raises what `path` does."""
        for name in self.files:
            self.path(name)
        return self.folder


class Snapshot:
    """The place of an index on disk. Several processes may read it, one at a time may write it.

    Args:
        folder: its own; made when it is first written.
        parameters: plain data that determines, with the nodes, what is kept there.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = folder
        self._parameters = json.loads(json.dumps(parameters))

    def read(self) -> Kept | None:
        """What was written last; None when there is nothing, or it was made with other parameters.

        Raises:
            DamagedError: it cannot be read.
        """
        try:
            head = json.loads((self.folder / _CURRENT).read_text("utf-8"))
            if (head["format"], head["parameters"]) != (_FORMAT, self._parameters):
                return None
            files = {str(name): (int(size), int(crc)) for name, (size, crc) in head["files"].items()}
            return Kept(self.folder / str(head["version"]), files)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedError(f"{self.folder / _CURRENT} cannot be read ({error})") from None

    def write(self, fill: Callable[[Path], None]) -> Kept:
        """Keep the files that `fill` writes into a folder, in place of what was there. All or nothing.

        Raises:
            OSError: they cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        version = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.folder))
        try:
            fill(version)
            kept = Kept(version, {path.name: _measure(path) for path in sorted(version.iterdir())})
            head = {"format": _FORMAT, "parameters": self._parameters, "version": version.name, "files": kept.files}
            new = version / _CURRENT
            new.write_text(json.dumps(head), "utf-8")
            os.replace(new, self.folder / _CURRENT)  # noqa: PTH105
        except BaseException:
            shutil.rmtree(version, ignore_errors=True)
            raise
        # What others have open stays readable for them; what a killed process left goes, too.
        for path in self.folder.glob(f"{_PREFIX}*"):
            if path != version:
                shutil.rmtree(path, ignore_errors=True)
        return kept


def _measure(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc
