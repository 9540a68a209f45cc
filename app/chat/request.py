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


Part = TextPart | FilePart


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


def unheard(messages: Sequence[Message]) -> Sequence[Message]:
    """What a conversation that is continued has not heard yet: all after the last assistant message."""
    start = 0
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            start = index + 1
    return messages[start:] or messages[-1:]


class Effort(Enum):
    """How much the model should think, from not at all to as much as it can."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for an answer.

    `model` is the name as the client wrote it. `use_search` None leaves search to the model's name, `effort`
    None leaves thinking to it. With `conversation_id` the request continues that conversation of Kimi's; `keep`
    asks that the conversation outlives the answer. `tools` are the tools offered to the model, each as canonical JSON;
    `session` is the client's own name for the conversation, a hint that it may or may not give.
    """

    model: str
    messages: tuple[Message, ...]
    use_search: bool | None = None
    effort: Effort | None = None
    conversation_id: str | None = None
    keep: bool = False
    tools: tuple[str, ...] = ()
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a turn goes on: the conversation, and the message it answers to (None: the newest there is)."""

    conversation_id: str
    parent_id: str | None = None
