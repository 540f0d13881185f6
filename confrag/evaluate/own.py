"""Documents of one's own: the files of a corpus, as the questions of a dataset name them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from confrag.errors import nearest

__all__ = ["Files"]

_SHOWN = 3


@dataclass(frozen=True)
class Files:
    """The files of a corpus. Their names are their paths below the corpus folder, with forward slashes.

    Attributes:
        digests: name -> digest of the content.
        skipped: name -> why it is not read, in a few words.
        places: what ``corpus.path`` says.
    """

    digests: Mapping[str, str]
    skipped: Mapping[str, str]
    places: tuple[str, ...]

    def find(self, name: str) -> str | None:
        """The file of this name, as the corpus spells it; None where there is none."""
        return self._by_name.get(_normal(name))

    def close(self, name: str) -> str | None:
        """The file that is probably meant by a name that none has: one is the end of the other, or they look alike."""
        name = _normal(name)
        ends = [own for key, own in self._by_name.items() if f"/{name}".endswith(f"/{key}") or key.endswith(f"/{name}")]
        return max(ends, key=len) if ends else nearest(name, self.digests)

    def unknown(self, name: str) -> str:
        """What is wrong with a name that no file has."""
        if reason := self.skipped.get(name):
            return f"the file {name!r} is not read: {reason}"
        close = self.close(name)
        hint = f". Did you mean '{close}'?" if close else ""
        return f"there is no file {name!r} in the corpus ({self._corpus}){hint}"

    def none_of(self, count: int) -> str:
        """What is wrong where no name out of several is that of a file."""
        some = ", ".join(f"'{name}'" for name in list(self.digests)[:_SHOWN])
        more = ", ..." if len(self.digests) > _SHOWN else ""
        return (
            f"none of the {count:,} files that it names is in the corpus ({self._corpus}; there: {some}{more}); "
            "set the folder that the questions are about with corpus.path=DIR"
        )

    @property
    def _corpus(self) -> str:
        return f"corpus.path: {', '.join(self.places)}"

    @cached_property
    def _by_name(self) -> Mapping[str, str]:
        return {_normal(name): name for name in self.digests}


def _normal(name: str) -> str:
    """File systems differ in how they write an é."""
    return unicodedata.normalize("NFC", name.removeprefix("./"))
