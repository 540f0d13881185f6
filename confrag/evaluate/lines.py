"""The files of a dataset, read line by line; what is wrong is collected, each with its file and line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confrag.errors import UserError

__all__ = ["Lines"]

_SHOWN = 20
"""Mistakes that are listed."""


@dataclass
class Lines:
    """Goes through the files of a folder.

    Attributes:
        folder: where they are.
        notes: what is no mistake, but should be known, in words.
        mistakes: what is wrong, in words.
    """

    folder: Path
    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def entries(self, name: str, example: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and object of each line of a file that is one with an id of its own.

        Args:
            name: of the file.
            example: what a line may look like. Where it is given, an id may be left out: it is the line's number then.
        """
        seen: Counter[str] = Counter()
        for number, line in self.lines(name):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not seen and line.startswith("["):
                    self.wrong(name, number, "a list; write each object on a line of its own, without one around them")
                    return
                self.wrong(name, number, f"no JSON: {error}")
                continue
            identity = entry.get("_id", str(number) if example else None) if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(identity, str) or not identity.strip():
                of_object = f"must be an object like {example}" if example and not isinstance(entry, dict) else ""
                self.wrong(name, number, of_object or "must be an object with an '_id' that is a text and not empty")
                continue
            if any(character.isspace() for character in identity):
                # The columns of a run file are parted by white space.
                self.wrong(name, number, f"the '_id' {identity!r} must not hold white space")
            seen[identity] += 1
            if seen[identity] > 1:
                self.wrong(name, number, f"the '_id' {identity!r} is taken by a line above")
                continue
            yield number, {**entry, "_id": identity}
        if not seen and not self.mistakes:
            hint = f"; write a line for each question, like {example}" if example else ""
            self.mistakes.append(f"{name}: there is nothing in it{hint}")

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Number and text of the lines of a file that are not empty."""
        try:
            # Not splitlines(), which would cut at U+2028 and the like, too.
            with (self.folder / name).open(encoding="utf-8-sig", newline="\n") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield number, line.rstrip("\r\n")
        except FileNotFoundError:
            self.mistakes.append(f"{name}: there is no such file")
        except UnicodeDecodeError as error:
            self.mistakes.append(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8")
        except OSError as error:
            self.mistakes.append(f"{name}: cannot be read: {error.strerror}")

    def text(self, name: str, line: int, entry: Mapping[str, Any], key: str, default: str | None = None) -> str:
        """A text of an object; empty where it is wrong."""
        value = entry.get(key, default)
        if not isinstance(value, str):
            problem = f"'{key}' is missing" if value is None else f"'{key}' must be a text, and is {value!r:.60}"
            self.wrong(name, line, problem)
            return ""
        return value

    def texts(self, name: str, line: int, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """The texts of a list that are not empty, or the one that stands in its place."""
        value = entry.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self.wrong(name, line, f"'{key}' must be a list of texts, and is {value!r:.60}")
            return ()
        return tuple(one for one in listed if one.strip())

    def note(self, ids: list[str], what: str) -> None:
        """Remember something that is no mistake, of these documents or queries."""
        if ids:
            more = f" and {len(ids) - 5:,} more" if len(ids) > 5 else ""
            self.notes.append(f"{what}: {', '.join(ids[:5])}{more}")

    def wrong(self, name: str, line: int, problem: str) -> None:
        """Remember a mistake in a line of a file."""
        self.mistakes.append(f"{name}:{line}: {problem}")

    def finish(self) -> None:
        """Raises UserError when anything was wrong."""
        if self.mistakes:
            count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes):,} mistakes"
            more = len(self.mistakes) - _SHOWN
            listed = [*self.mistakes[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            raise UserError("\n".join([f"dataset.path = '{self.folder}': {count}", *(f"  {m}" for m in listed)]))
