"""JSON over HTTP, as patiently as a policy says, with errors that name the place and hold no key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import httpx

from confrag.build.models.resilience import BusyError, Calls, is_busy, retry_after
from confrag.errors import ServiceError

__all__ = ["Endpoint"]

_CONNECT_S = 10.0
_SHOWN = 300
"""Characters of a server's own message that an error repeats."""

Result = TypeVar("Result")


class Endpoint:
    """Where requests to a model go. Safe for threads.

    Args:
        url: the address.
        place: how errors name it: kind, model and address.
        calls: how patiently it is asked.
        timeout_s: seconds to wait for the server: until it answers, and between two parts of an answer.
        headers: of each request.
        secrets: texts that no error may hold.
        method: of HTTP.
    """

    def __init__(
        self,
        url: str,
        place: str,
        calls: Calls,
        timeout_s: float,
        headers: Mapping[str, str],
        secrets: Collection[str] = (),
        method: str = "POST",
    ) -> None:
        self.place = place
        self.calls = calls
        self._url = url
        self._method = method
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
        self._client = httpx.Client(headers=dict(headers), timeout=timeout)

    def __call__(self, body: Mapping[str, Any], parse: Callable[[Any], Result]) -> Result:
        """What `parse` makes of the answer to a request.

        Args:
            body: sent as JSON.
            parse: from the answer, decoded, to the result; a ValueError, KeyError, TypeError or IndexError of it says
                that the answer is not what was asked for.

        Raises:
            ServiceError: there is no answer after all attempts, or none that can be used.
        """
        try:
            answer = self.calls(lambda: self.once(body))
        except BusyError as error:
            raise ServiceError(f"{self.place} gave no answer: {error}") from None
        try:
            return parse(answer)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ServiceError(f"{self.place} gave an answer that cannot be used: {self.safe(error)}") from None

    def once(self, body: Mapping[str, Any]) -> Any:
        """The answer to a request that is sent once, decoded.

        Raises:
            BusyError: the same request may succeed later.
            ServiceError: it will not.
        """
        try:
            response = self._client.request(self._method, self._url, json=body)
        except httpx.TransportError as error:
            raise BusyError(self._failure(error)) from None
        except httpx.InvalidURL as error:
            raise ServiceError(f"{self.place} cannot be asked: {error}") from None
        if is_busy(response.status_code):
            raise BusyError(self._refusal(response), retry_after(response.headers.get("Retry-After")))
        if not response.is_success:
            hint = "; check the key" if response.status_code in (401, 403) else ""
            raise ServiceError(f"{self.place} refused the request: {self._refusal(response)}{hint}")
        try:
            return response.json()
        except ValueError:
            raise BusyError(f"the answer is not JSON: {self.safe(response.text)!r}") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def safe(self, text: object) -> str:
        """A text that came from outside, in one line, shortened, and without a key that the server has sent back."""
        flat = " ".join(str(text).split())
        for secret in self._secrets:
            flat = flat.replace(secret, "***")
        return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"

    def _failure(self, error: httpx.TransportError) -> str:
        if isinstance(error, httpx.TimeoutException):
            return "it does not answer in time (timeout_s)"
        return self.safe(error) or type(error).__name__

    def _refusal(self, response: httpx.Response) -> str:
        return f"HTTP {response.status_code} {self.safe(_message(response.text))}".rstrip()


def _message(body: str) -> str:
    """The message in the body of an error, where it is told from the rest."""
    try:
        found = json.loads(body)
        error = found.get("error", found)
        return str(error.get("message", body) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        return body
