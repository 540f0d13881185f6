"""Requests of OpenAI's clients: what they hold, and what of it is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, ClassVar, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from confrag.errors import nearest
from confrag.serve.openai_parameters import CHAT_REFUSED, CHAT_UNUSED, ONE_TEXT, ParameterError, Refusal
from confrag.serve.problems import problem_of

__all__ = ["ChatRequest", "EmbeddingRequest", "Message", "conversation", "wrong"]


Text = Annotated[str, StringConstraints(max_length=1_000_000)]
"""Whole characters only: with a bound pydantic looks at the text, and refuses half a surrogate pair."""


class _Open(BaseModel):
    """What clients send may hold more than is declared."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


def _tell_all(schema: dict[str, Any], request: type[_Request]) -> None:
    """Let OpenAPI say which parameters are taken beside the declared ones: these, and no other."""
    taken = {name: {"description": "Taken, and left unused."} for name in sorted(request.unused)}
    schema.update(properties={**schema["properties"], **taken}, additionalProperties=False)


class _Request(_Open):
    model_config = ConfigDict(json_schema_extra=_tell_all)

    unused: ClassVar[Set[str]]
    refused: ClassVar[Mapping[str, Refusal]]

    def check(self) -> None:
        """Refuse what cannot be honoured and would change the meaning of the request.

        A parameter that nobody knows is refused too: a misspelt filter must not answer from all documents.

        Raises:
            ParameterError: names the first such parameter.
        """
        for name, value in (self.model_extra or {}).items():
            if value is None or name in self.unused:
                continue
            if name not in self.refused:
                near = nearest(name, [*type(self).model_fields, *self.refused])
                hint = f". Did you mean '{near}'?" if near else ""
                raise ParameterError(name, f"{name}: there is no such parameter{hint}", "unknown_parameter")
            self.refused[name].check(name, value)


class Part(_Open):
    """A part of a message; only texts are understood."""

    type: str
    text: Text | None = None


class Message(_Open):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[Part] | None = None


class StreamOptions(_Open):
    """What a stream holds beside the text."""

    include_usage: bool | None = False
    """One more chunk at the end, without a choice, that counts the tokens."""


class ChatRequest(_Request):
    """A question as OpenAI's clients put it: the last message, with the conversation before it."""

    unused = CHAT_UNUSED
    refused = CHAT_REFUSED

    messages: Annotated[list[Message], Field(min_length=1)]
    model: str | None = None
    """One of ``/v1/models``; left out: the one that there is."""
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    filters: dict[str, Any] | None = None
    """confrag's own: which documents may answer, by their metadata."""
    citations: bool | None = False
    """confrag's own: end the text with the names of the files that it cites, by their numbers."""


class EmbeddingRequest(_Request):
    """Texts to embed."""

    unused = frozenset({"user"})
    refused: ClassVar[Mapping[str, Refusal]] = {}

    input: Text | Annotated[list[Text] | list[int] | list[list[int]], Field(min_length=1, max_length=2048)]
    model: str | None = None
    """One of ``/v1/models``; left out: the one that there is."""
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None
    """Must be that of the model."""
    input_type: Literal["passage", "query"] | None = "passage"
    """confrag's own: whether the texts are of a corpus or questions; e5 and others embed the two differently."""

    def texts(self) -> list[str]:
        """The input as a list. Raises ParameterError for token ids and for empty texts."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        checked = [text for text in texts if isinstance(text, str)]
        if len(checked) < len(texts):
            raise ParameterError(
                "input",
                "input: these are token ids of another vocabulary; send texts "
                "(LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False)",
            )
        for number, text in enumerate(checked):
            if not text.strip():
                place = "input" if isinstance(self.input, str) else f"input[{number}]"
                raise ParameterError(place, f"{place}: the text is empty")
        return checked


_TYPES = ("str", "list")
_FORMS = {
    "content": "must be a text, or a list of parts with a type",
    "input": "must be a text, or a list of 1 to 2048 texts",
}
"""What may stand where there is more than one possibility."""


def conversation(messages: Sequence[Message]) -> tuple[str, list[dict[str, str]]]:
    """The question, and the turns before it, oldest first.

    Messages of the system or a developer are left out: what the model is told about its task is the configuration's.

    Raises:
        ParameterError: there is no question at the end, or something that is no text.
    """
    turns = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.role in ("tool", "function"):
            raise ParameterError(f"{place}.role", f"{place}.role = '{message.role}': {ONE_TEXT}; tools are not called")
        if message.role in ("user", "assistant"):
            turns.append((place, message.role, _text(message.content, f"{place}.content")))
    while turns and turns[-1][1] == "assistant" and not turns[-1][2].strip():
        turns.pop()  # some clients send the place of the answer along
    if not turns:
        raise ParameterError("messages", "messages: the question is missing, a last message with the role 'user'")
    *before, (place, role, question) = turns
    if role != "user":
        raise ParameterError(
            f"{place}.role", f"{place}.role = '{role}': the last message must be the question, with the role 'user'"
        )
    if not question.strip():
        raise ParameterError(f"{place}.content", f"{place}.content: the question is empty")
    return question, [{"role": role, "content": text} for _, role, text in before if text.strip()]


def wrong(error: RequestValidationError) -> ParameterError:
    """The first thing that is wrong with the form of a request."""
    details = error.errors()[0]
    place = ""
    for part in details["loc"][1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part.isidentifier() and part not in _TYPES:  # else it is pydantic's name for one of several types
            place += f".{part}" if place else part
    if details["type"] == "json_invalid":
        return ParameterError(None, problem_of(error).detail)
    if not place:
        return ParameterError(None, "the body must be a JSON object, sent with Content-Type: application/json")
    if details["type"] == "missing":
        return ParameterError(place, f"{place}: is missing", "missing_required_parameter")
    name = place.rpartition(".")[2]
    what = details["msg"][0].lower() + details["msg"][1:]
    if details["type"] == "string_type":
        what = _FORMS.get(name, what)
    return ParameterError(place, f"{place} = {details['input']!r:.80}: {what}")


def _text(content: str | list[Part] | None, place: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for number, part in enumerate(content):
        if part.type != "text" or part.text is None:
            raise ParameterError(
                f"{place}[{number}]",
                f"{place}[{number}].type = {part.type!r:.80}: only parts of the type 'text' are read",
            )
        texts.append(part.text)
    return "\n".join(texts)
