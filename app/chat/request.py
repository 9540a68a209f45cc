"""What a client asks, in no vendor's words."""

from __future__ import annotations

from dataclasses import dataclass
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
class Message:
    """One message of the history; its parts in the order in which the client gave them."""

    role: Role
    parts: tuple[TextPart, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        """A message of one text."""
        return cls(role, (TextPart(text),))

    @property
    def text(self) -> str:
        """The text parts, one to a line: a client that sends several means several paragraphs."""
        return "\n".join(part.text for part in self.parts)


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
