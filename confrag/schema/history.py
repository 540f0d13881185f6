"""The turns of a conversation that a question follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confrag.errors import UserError

__all__ = ["History", "parse_history"]

History = tuple[Mapping[str, str], ...]
"""Oldest first, each with `role` (``user`` or ``assistant``) and `content`."""
_ROLES = ("user", "assistant")


def parse_history(turns: Iterable[Mapping[str, Any]]) -> History:
    """Check what a caller gives as a history.

    Raises:
        UserError: a turn that is not ``{"role": "user" or "assistant", "content": text}``.
    """
    checked = []
    for number, turn in enumerate(turns):
        place = f"history[{number}]"
        if not isinstance(turn, Mapping) or set(turn) != {"role", "content"}:
            raise UserError(f"{place} = {turn!r:.80}: a turn has exactly the keys 'role' and 'content'")
        if turn["role"] not in _ROLES:
            raise UserError(f"{place}.role = {turn['role']!r:.80}: allowed: {', '.join(_ROLES)}")
        if not isinstance(turn["content"], str):
            raise UserError(f"{place}.content = {turn['content']!r:.80}: must be a text")
        checked.append({"role": str(turn["role"]), "content": turn["content"]})
    return tuple(checked)
