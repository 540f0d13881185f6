"""LazyLLM's sessions, which it keeps by thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["in_this_session", "web_module"]


def in_this_session(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, to be made in another thread as if it were made here: LazyLLM keeps the state of a run by thread."""
    import lazyllm  # nothing else here needs it before `import_lazyllm`

    session, state = lazyllm.globals._sid, {key: dict(value) for key, value in lazyllm.locals._data.items()}

    def made() -> Any:
        lazyllm.globals._init_sid(session)
        with lazyllm.locals._scope():
            lazyllm.locals._update(state)
            return call()

    return made


def web_module() -> type[Any]:
    """LazyLLM's WebModule, with a session for each question: gradio runs the questions of all visitors in one context.

    Raises:
        ImportError: gradio is not installed.
    """
    from lazyllm.common.globals import new_session
    from lazyllm.tools.webpages.webmodule import WebModule

    class Page(WebModule):  # type: ignore[misc]
        def _respond_stream(self, *args: Any) -> Iterator[Any]:
            # Read to its end first: gradio takes each piece from a generator in another thread.
            with new_session():
                pieces = list(super()._respond_stream(*args))
            yield from pieces

    return Page
