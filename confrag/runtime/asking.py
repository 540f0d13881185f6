"""Asking a chat model about many texts: several at once, each once, patiently, and within a limit."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from lazyllm.components.prompter import EmptyPrompter

from confrag.build.at_once import at_once
from confrag.build.document import build_transforms
from confrag.build.models.chat import ChatModel
from confrag.build.models.resilience import BusyError
from confrag.build.models.talk import FailedError, RefusedError, Talk
from confrag.build.progress import ProgressFn
from confrag.build.transforms.llm import UnusableReplyError, Written
from confrag.errors import ServiceError, UserError
from confrag.plan.model import GroupPlan
from confrag.runtime.reply_cache import ReplyCache, task

__all__ = ["Asker", "askable"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""Before a call is repeated because the server was busy; the pause doubles each time."""
_ANOTHER_WAY = 0.5
"""Temperature when a reply could not be used: at 0 the model would write the same once more."""


def askable(texts: Sequence[str]) -> list[str]:
    """The texts that a model is asked about: each once, and none without a letter or digit."""
    return [text for text in dict.fromkeys(texts) if any(char.isalnum() for char in text)]


class Asker:
    """Gets the replies that the nodes of a group are made of, from the cache or the model.

    A reply is kept as soon as it is there, so that whatever ends an ingest, the next one goes on from there. One that
    cannot be used after all attempts is kept, too: no node is made of it, and the model is not asked the same again.

    Attributes:
        calls: of the model, repeated ones included.
        found: texts whose replies were in the cache.

    Args:
        group: whose nodes are written.
        load: gives the model; called when it is first needed.
        cache: where replies are kept.
        fingerprint: of the model, see `confrag.build.models.fingerprint`.
        warn: told of the texts that no node could be made of.
    """

    def __init__(
        self,
        group: GroupPlan,
        load: Callable[[], ChatModel],
        cache: ReplyCache,
        fingerprint: str,
        warn: Callable[[str], None],
    ) -> None:
        self._group = group.name
        self._written: Written = build_transforms([group])[group.name]
        self._load = load
        self._cache = cache
        self._task = task(group, fingerprint)
        self._warn = warn
        self._concurrency, self._retries = int(group.params["concurrency"]), int(group.params["retries"])
        self._max_tokens, self._max_calls = int(group.params["max_tokens"]), group.params["max_calls"]
        self._counting = threading.Lock()
        self.calls = 0
        self.found = 0
        self.begin()

    def begin(self) -> None:
        """An ingest begins: count for its limit and its warnings."""
        self._before = self.calls
        self._done = self._wanted = 0
        self._unusable: list[str] = []
        self._refused: list[str] = []

    def replies(self, texts: Sequence[str], progress: ProgressFn) -> dict[str, str]:
        """Text -> reply. A text is left out that there is nothing to ask about, or that the model does not take.

        Raises:
            UserError: `max_calls` does not suffice; the replies so far are kept.
            ServiceError: the model gives no answer, or takes none of the texts.
        """
        wanted = askable(texts)
        replies = self._cache.get(self._task, wanted)
        missing = [text for text in wanted if text not in replies]
        self.found += len(replies)
        self._wanted += len(wanted)
        self._done += len(replies)
        if wanted:
            progress(f"ask {self._group}", self._done, self._wanted)
        refused = len(self._refused)
        if missing and self._calls_left():
            replies |= self._ask(missing, progress)
        left = len(wanted) - len(replies) - (len(self._refused) - refused)
        if left:
            raise UserError(
                f"node_groups.{self._group}.transform.max_calls = {self._max_calls}: the model was called "
                f"{self.calls - self._before:,} times, and {left:,} of the texts read so far are still without a "
                "reply. Those that it gave are kept: ingest again to go on, or raise or leave out max_calls"
            )
        return replies

    def end(self) -> None:
        """An ingest is over: say what did not become nodes."""
        if self._unusable:
            self._warn(
                f"node group '{self._group}': of {len(self._unusable):,} texts there are no nodes, since the model's "
                f"replies could not be used ({self._unusable[0]}). They are asked about again only with another model, "
                "prompt or max_tokens"
            )
        if self._refused:
            self._warn(
                f"node group '{self._group}': of {len(self._refused):,} texts there are no nodes, since the model did "
                f"not take them ({self._refused[0]})"
            )

    def _ask(self, texts: Sequence[str], progress: ProgressFn) -> dict[str, str]:
        model = self._load()
        # A prompter that takes braces in a text for what they are; LazyLLM's others look for names in them.
        talk = Talk(model, EmptyPrompter())
        stopped = threading.Event()
        replies: dict[str, str] = {}

        def ask(text: str) -> tuple[str, str | None]:
            return text, self._one(talk, text, stopped)

        for text, reply in at_once(ask, texts, self._concurrency, stopped):
            if reply is not None:
                replies[text] = reply
                self._done += 1
                progress(f"ask {self._group}", self._done, self._wanted)
        if self._refused and not self._done:
            raise ServiceError(
                f"{model.place} takes none of the {len(texts):,} texts of node group '{self._group}': "
                f"{self._refused[-1]}"
            )
        return replies

    def _one(self, talk: Talk, text: str, stopped: threading.Event) -> str | None:
        """The reply about a text, kept; None when there may be no more calls, or the model does not take it."""
        message, temperature, pause = self._written.message(text), 0.0, _FIRST_PAUSE_S
        for attempt in range(self._retries + 1):
            if stopped.is_set() or not self._count_call():
                return None
            try:
                # Repeated here, so that each call counts for `max_calls`.
                reply = talk(message, retries=0, temperature=temperature, max_tokens=self._max_tokens).text
            except BusyError as error:
                if attempt == self._retries:
                    raise ServiceError(f"{talk.place} gave no answer: {error}") from error
                # Not all at the same time again.
                stopped.wait(max(pause * random.uniform(0.5, 1.0), min(error.after_s or 0.0, _LONGEST_PAUSE_S)))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            except RefusedError as error:
                self._refused.append(str(error))
                return None
            except FailedError as error:
                raise ServiceError(f"{talk.place} gave no answer: {error}") from error
            try:
                self._written.nodes(reply)
            except UnusableReplyError as error:
                if attempt < self._retries:
                    temperature = _ANOTHER_WAY
                    continue
                self._unusable.append(str(error))
            self._cache.put(self._task, text, reply)
            return reply
        return None

    def _calls_left(self) -> bool:
        return self._max_calls is None or self.calls - self._before < self._max_calls

    def _count_call(self) -> bool:
        """Whether one more call may be made; it is counted."""
        with self._counting:
            left = self._calls_left()
            self.calls += left
            return left
