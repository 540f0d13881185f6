"""What an evaluation needs: a judge that can grade, prices where they count, and a dataset that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from confrag.config.raw import Raw, by_role, table, unknown
from confrag.errors import Problem, nearest

__all__ = ["evaluation", "questions"]

_QUERIES = "queries.jsonl"


def evaluation(raw: Raw) -> Iterator[Problem]:
    """The judge, the objectives, and the prices."""
    settings = raw.get("eval")
    if isinstance(settings, Mapping):
        yield from _judge(raw, settings.get("judge"))
        yield from _objectives(raw, settings)
    for name, model in table(raw, "models").items():
        if model.get("price") is not None and model.get("role") in ("embed", "rerank"):
            message = "tokens are counted of chat models only; leave it out"
            yield Problem(f"models.{name}.price", message)


def questions(raw: Raw) -> Iterator[Problem]:
    """The dataset's folder; who does not evaluate can do without it."""
    dataset = raw.get("dataset")
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    if isinstance(path, str):
        yield from _folder(path)


def _folder(path: str) -> Iterator[Problem]:
    try:
        folder = Path(path).expanduser()
        if folder.is_file():
            yield Problem("dataset.path", f"is a file; name the folder that it is in: '{folder.parent}'", path)
            return
        if not folder.is_dir():
            beside = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
            yield Problem("dataset.path", "there is no such folder", path, nearest(folder.name, beside))
            return
        missing = not (folder / _QUERIES).is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL in it, the home of nobody
        yield Problem("dataset.path", f"cannot be the name of a folder ({error})", path)
        return
    if missing:
        message = (
            f"is no dataset: {_QUERIES} must be in it, with a line for each question, like "
            '{"text": "When is it open?", "files": ["faq.md"]}'
        )
        yield Problem("dataset.path", message, path)


def _judge(raw: Raw, name: object) -> Iterator[Problem]:
    chats = by_role(raw, "chat")
    if not isinstance(name, str):
        return
    if name not in chats:
        yield unknown("eval.judge", name, "model with the role 'chat'", chats)
    elif table(raw, "models")[name].get("kind") == "extractive":
        yield Problem("eval.judge", "a model of the kind 'extractive' quotes and cannot grade; name another", name)
    prompts = raw.get("prompts")
    if isinstance(prompts, Mapping) and prompts.get("judge") is None:
        yield Problem("prompts.judge", "required where eval.judge names a model, and missing")


def _objectives(raw: Raw, settings: Raw) -> Iterator[Problem]:
    objective = raw.get("objective")
    named = [objective] if isinstance(objective, str) else objective if isinstance(objective, list) else []
    if "judge" in named and settings.get("judge") is None:
        yield Problem("objective", "needs eval.judge, the name of a chat model that grades", objective)
