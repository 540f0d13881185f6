"""The pages below docs/presets: a preset's YAML, the options that it chooses, what it compiles to, when to use it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from confrag.config import load
from confrag.config.sources import describe, option_file, options
from confrag.plan import compile_plan, draw

__all__ = ["preset_pages"]

NEEDS = {
    "milvus_remote": "a Milvus server at 127.0.0.1:19530",
    "chroma_remote": "a Chroma server at 127.0.0.1:8000",
    "vllm": "vLLM and a GPU",
    "vllm_awq": "vLLM and a GPU",
    "openai_compatible": "a server with the interface of OpenAI at 127.0.0.1:8000",
    "online": "a key of OpenAI in OPENAI_API_KEY",
}
"""Presets that need what a machine does not have by itself."""

QUESTIONS = {"chinese": "失物招领处什么时候开放？"}
QUESTION = "May I bring a dog?"

WHEN = {
    "quickstart": "To see that everything works, and as the yardstick: one route, exact search, the embedded models. "
    "It is what runs when no `conf=` is given.",
    "map": "Up to some hundred thousand chunks on one machine: exact search in memory over vectors that lie in one "
    "SQLite file. Several processes may read it at once. Take it first, and another store when this one is too slow.",
    "chroma": "Where Chroma is in use anyway, or its folder is to be read by other programs. Its HNSW index has "
    "parameters that do not lose documents; writing is slower than with the other stores.",
    "chroma_remote": "Several machines over one collection, or a Chroma server that is run anyway. Start one with "
    "`chroma run`.",
    "milvus_flat": "Exact search in a Milvus Lite file: a configuration that moves to a Milvus server later. The file "
    "belongs to one process at a time.",
    "milvus_hnsw": "As `milvus_flat`, by a graph: what a large collection on a Milvus server would use, tried out on "
    "one machine.",
    "milvus_remote": "More vectors than one process should hold, or several machines over one collection. Users and "
    "tokens stand in environment variables (`store_conf.kwargs.token_env`).",
    "map_milvus_index": "Texts that stay in SQLite with vectors in Milvus, as LazyLLM's documentation has it with "
    "`smart_embedding_index`. For a new project `milvus_hnsw` has fewer parts.",
    "hnsw": "Large collections in one process, where exact search is too slow and no Milvus is wanted: the fastest "
    "search by vectors here, for memory and time to build the graph.",
    "linear": "To compare with `trie`, as the tutorial does; and for a few thousand keywords, where a scan is enough.",
    "trie": "Questions by name, number or part number, where a near meaning is a wrong answer. No embedding model is "
    "loaded at all.",
    "hybrid": "The one to start with for documents of your own in English: better than vectors or words alone on "
    "each collection that was measured, for little more time.",
    "hybrid_sparse": "As `hybrid`, with a learned sparse model besides, which knows related words: the right file "
    "first for 19 of the 20 sample questions, 18 with `hybrid`. Embedding takes longer. Sparse vectors need Milvus.",
    "multi_route": "Questions, rather than titles or keywords, in English, when half a second of a cross-encoder is "
    "affordable. Measure it: on Cranfield, whose queries are titles, reranking makes things worse.",
    "chinese": "Documents in Chinese, or Chinese and English together with Chinese questions.",
    "qa_rewrite": "Documents that people ask about in other words than they are written in, with a chat model good "
    "enough to draw questions from them. The first ingest asks that model about each large chunk: `confrag plan "
    "conf=qa_rewrite` says how often. With the embedded model this only shows that the graph is complete.",
    "cached": "A service whose questions come again: the whole answer is kept in a file that all processes share, "
    "until documents or configuration change.",
    "rag_final": "A service: good routes, reranked, and what was retrieved is kept in memory, while the model writes "
    "each answer anew. Begin with it for `confrag serve`.",
    "openai_compatible": "A model that is reached over HTTP: vLLM, llama.cpp, Ollama, a company's gateway. Name "
    "`models.llm.base_url` and `models.llm.model`; the key stands in the variable that `models.llm.api_key_env` names.",
    "online": "A provider on the Internet for embeddings and answers. The texts of your documents are sent there.",
    "vllm": "A GPU of one's own, and answers that can be relied on. vLLM is started with the engine; `confrag models "
    "serve conf=vllm` runs it apart.",
    "vllm_awq": "As `vllm`, where the GPU's memory is too small for the model as it is.",
}


def preset_pages() -> dict[str, str]:
    """File name -> page: one for each preset, and `index.md`."""
    # Presets with a provider are valid only where there is a key.
    os.environ.setdefault("OPENAI_API_KEY", "of-the-documentation")
    names = options("conf")
    _, usual = _choices("quickstart")
    pages = {f"{name}.md": _page(name, usual) for name in names}
    rows = [f"| [`{name}`]({name}.md) | {describe('conf', name)} |" for name in names]
    pages["index.md"] = "\n".join(["# Presets\n", GENERATED, INTRODUCTION, "| `conf=` | |", "|---|---|", *rows, ""])
    return pages


GENERATED = "Generated by `python docs/generate.py` from the YAML files; a test keeps it up to date.\n"
INTRODUCTION = """\
A preset is a choice of options, selected last: `confrag run conf=NAME`. Each option (`recall=hybrid`) and each key
(`retrievers.chunk.topk=10`) of it can be overridden on the command line, in Python, or by a preset of your own that
begins with it.
"""


def _choices(name: str) -> tuple[str, Mapping[str, str]]:
    """The graph of a preset, and its option of each group."""
    composed, config = load(name)
    graph = draw(compile_plan(config, name), "text")
    # The collection's number depends on the files of the models.
    return re.sub(r" \(collection \w+\)", "", graph, count=1), composed.choices


def _page(name: str, usual: Mapping[str, str]) -> str:
    graph, choices = _choices(name)
    own = [
        (group, option)
        for group, option in choices.items()
        if group != "conf" and "/" not in group and option != usual.get(group) and option_file(group, option)
    ]
    needs = f"# Needs {NEEDS[name]}\n" if name in NEEDS else ""
    command = f'confrag run conf={name} query="{QUESTIONS.get(name, QUESTION)}"'
    if name == "qa_rewrite":
        command = "confrag plan conf=qa_rewrite    # exit code 3: there is something to do; says how many calls"
    parts = [
        f"# {name}\n",
        f"{describe('conf', name)}\n",
        f"**When.** {WHEN[name]}\n",
        f"```sh\n{needs}{command}\n```\n",
        "## What it says\n",
        _file("conf", name),
        "## What it compiles to\n",
        f"`confrag graph conf={name}`:\n",
        f"```text\n{graph}\n```\n",
    ]
    if own:
        parts += ["## The options that it chooses\n", "Those that are not the default's.\n"]
        parts += [_file(group, option) for group, option in own]
    parts.append(f"The whole of it, with the place of each value: `confrag show conf={name} where=true`.\n")
    parts.append(GENERATED)
    return "\n".join(parts)


def _file(group: str, option: str) -> str:
    path = option_file(group, option)
    assert path is not None, f"{group}={option}"
    # Not as `yaml`: a part of a configuration is none by itself.
    return f'`conf/{group}/{option}.yaml`:\n\n```yaml title="{group}={option}"\n{path.read_text("utf-8")}```\n'
