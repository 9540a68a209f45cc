"""What a client asks, in no vendor's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Role(Enum):
    """Who speaks. `developer` of newer vendors is SYSTEM."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of a message that is text."""

    text: str


@dataclass(frozen=True, slots=True)
class Inline:
    """The bytes of an attachment that came with the request.

    `digest` is their SHA-256 in hex, `media_type` what the client calls them.
    """

    data: bytes = field(repr=False)
    digest: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """An attachment that is to be fetched; its URL may hold a signature, and so stays out of repr."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """An attachment that was uploaded before, by the id that its upload was answered with."""

    file_id: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A piece of a message that is an image or a document.

    `place` names it in errors; `name` is its file name, where the client gives one; `image` says that the client takes
    it for an image.
    """

    source: Inline | Remote | Stored
    place: str
    name: str | None = None
    image: bool = False

    @property
    def identity(self) -> str:
        """What tells it from other attachments: the bytes, the address or the id."""
        match self.source:
            case Inline(digest=digest):
                return f"inline:{digest}"
            case Remote(url):
                return f"remote:{url}"
            case Stored(file_id):
                return f"stored:{file_id}"


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call of one of the client's tools, as the assistant made it.

    `arguments` is the text of a JSON object; what a client repeats of an earlier call may be anything. A `freeform`
    tool takes one text: its arguments are `{"input": text}`.
    """

    call_id: str
    name: str
    arguments: str
    freeform: bool = False


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """Stands first in a message of TOOL: the other parts of the message are the result of this call.

    `call_id` and `name` are None where the client does not tell them; `failed` says that the tool reports an error.
    `number` is that of the call, counted from 1 over all of the history; None where it is not known (numbering.py).
    """

    call_id: str | None = None
    name: str | None = None
    failed: bool = False
    number: int | None = None


Part = TextPart | FilePart | ToolCallPart | ToolResultPart


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the history; its parts in the order in which the client gave them."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        """A message of one text."""
        return cls(role, (TextPart(text),))

    @property
    def text(self) -> str:
        """The text parts, one to a line: a client that sends several means several paragraphs."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def files(self) -> tuple[FilePart, ...]:
        """The images and documents."""
        return tuple(part for part in self.parts if isinstance(part, FilePart))

    @property
    def calls(self) -> tuple[ToolCallPart, ...]:
        """The calls of tools."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    @property
    def answers(self) -> ToolResultPart | None:
        """What tells which call this message answers; None if it does not tell, or answers none."""
        return next((part for part in self.parts if isinstance(part, ToolResultPart)), None)


def unheard(messages: Sequence[Message]) -> Sequence[Message]:
    """What a conversation that is continued has not heard yet: all after the last assistant message."""
    start = 0
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            start = index + 1
    return messages[start:] or messages[-1:]


def latest(messages: Sequence[Message]) -> Message:
    """What is to be answered: the last message that is no instruction (Claude Code puts some behind it), else the last.

    There is at least one message.
    """
    said = (message for message in reversed(messages) if message.role is not Role.SYSTEM)
    return next(said, messages[-1])


class Effort(Enum):
    """How much the model should think, from not at all to as much as it can."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool of the client's: the model may call it, the client runs it.

    `parameters` is the JSON Schema of its arguments, any JSON value at all, as JSON in the order of the client. A
    `freeform` tool takes one text instead of an object. `eager` asks that arguments are passed on character by
    character.
    """

    name: str
    description: str = ""
    parameters: str = "{}"
    freeform: bool = False
    eager: bool = False


class Choice(Enum):
    """Whether tools are to be called: not at all, as the model sees fit, or in any case."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The client's tools and how they are to be used.

    `allowed` are the names that may be called this time, None for all; `parallel` says whether one answer may hold
    several calls.
    """

    tools: tuple[ToolSpec, ...] = ()
    choice: Choice = Choice.AUTO
    allowed: tuple[str, ...] | None = None
    parallel: bool = True

    @property
    def told(self) -> tuple[ToolSpec, ...]:
        """The tools that the model is told of."""
        if self.choice is Choice.NONE:
            return ()
        return tuple(tool for tool in self.tools if self.allowed is None or tool.name in self.allowed)


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer is to be one JSON value: an object, or with `schema` (JSON Schema, as JSON) what that describes.

    Without `strict` a value that does not fit the schema is better than none.
    """

    schema: str | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for an answer.

    `model` is the name as the client wrote it. `use_search` None leaves search to the model's name, `effort`
    None leaves thinking to it. With `conversation_id` the request continues that conversation of Kimi's; `keep`
    asks that the conversation outlives the answer. `session` is the client's own name for the conversation, a hint that
    it may or may not give. `form` is what the answer has to look like, None for free text; `stop` are the texts before
    which it ends, `max_tokens` is how long it may be. `prompt_tokens` is about how many tokens the client sent, where
    that has been counted (prompt.py).
    """

    model: str
    messages: tuple[Message, ...]
    use_search: bool | None = None
    effort: Effort | None = None
    conversation_id: str | None = None
    keep: bool = False
    session: str | None = None
    tools: ToolUse = ToolUse()
    form: JsonFormat | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    prompt_tokens: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a turn goes on: the conversation, and the message it answers to (None: the newest there is)."""

    conversation_id: str
    parent_id: str | None = None
