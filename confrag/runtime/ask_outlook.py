"""What it would cost to let chat models write the nodes of groups; no model is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import tiktoken

from confrag.build.models.fingerprint import fingerprint
from confrag.build.transforms.llm import Written
from confrag.plan.model import GroupPlan, Plan
from confrag.runtime.asking import askable
from confrag.runtime.reply_cache import ReplyCache, reply_file, task

__all__ = ["AskOutlook", "Estimate", "estimate"]


@dataclass(frozen=True, slots=True)
class AskOutlook:
    """What writing the nodes of a group costs, as far as its parents are known.

    Attributes:
        calls: texts that the model has to be asked about, a call each; one that has to be repeated costs more.
        cached: texts whose replies are there.
        prompt_tokens: of the calls, estimated by GPT-2's tokens.
        completion_tokens: of the calls, at most, in tokens of the model.
    """

    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int


class Estimate:
    """Counts, group by group and file by file.

    Args:
        tasks: of the groups that a model writes, by name; see `confrag.runtime.reply_cache.task`.
        transforms: what they ask.
        cache: None: nothing has been written yet.
    """

    def __init__(self, tasks: Mapping[str, str], transforms: Mapping[str, Written], cache: ReplyCache | None) -> None:
        self._tasks = tasks
        self._transforms = transforms
        self._cache = cache
        self._known: dict[str, set[str]] = {}
        self._calls: dict[str, int] = {}
        self._cached: dict[str, int] = {}
        self._prompt_tokens: dict[str, int] = {}

    def replies(self, group: GroupPlan, texts: Sequence[str]) -> dict[str, str]:
        """Text -> reply, of those that are there; the others are counted. A text is counted once for each task."""
        name, wanted = group.name, askable(texts)
        found = self._cache.get(self._tasks[name], wanted) if self._cache else {}
        known = self._known.setdefault(self._tasks[name], set())
        new = [text for text in wanted if text not in found and text not in known]
        known.update(new)
        encode = tiktoken.get_encoding("gpt2").encode_ordinary
        tokens = sum(len(encode(self._transforms[name].message(text))) for text in new)
        self._calls[name] = self._calls.get(name, 0) + len(new)
        self._cached[name] = self._cached.get(name, 0) + len(wanted) - len(new)
        self._prompt_tokens[name] = self._prompt_tokens.get(name, 0) + tokens
        return found

    def of(self, group: GroupPlan) -> AskOutlook | None:
        """What was counted of a group; None of one that no model is asked for."""
        name = group.name
        if name not in self._calls:
            return None
        longest = self._calls[name] * int(group.params["max_tokens"])
        return AskOutlook(self._calls[name], self._cached[name], self._prompt_tokens[name], longest)


@contextmanager
def estimate(plan: Plan, transforms: Mapping[str, Written]) -> Iterator[Estimate]:
    """An estimate for a plan, with the replies that are there."""
    tasks = {group.name: task(group, fingerprint(plan.model(group.model))) for group in plan.groups if group.model}
    path = reply_file(plan.state_dir)
    cache = ReplyCache(path) if tasks and path.exists() else None
    try:
        yield Estimate(tasks, transforms, cache)
    finally:
        if cache:
            cache.close()
