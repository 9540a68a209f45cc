"""What an answer is made of: a stream of frozen events that ends with Finished or Failed.

The unit that travels is the list of the events of one network read: one read, one pass through the stages, one
write.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Served:
    """The answer comes from this account (its name, which reveals nothing), after `waited` seconds in line."""

    account: str
    waited: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The upstream has begun (or continued) this conversation; it is the first event of an answer, if known."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class PromptMoved:
    """The prompt was too long for one message, and is sent as a text file."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More text of the model's thinking; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model calls one of the client's tools: the first call of an answer has index 0, the next 1, and so on."""

    index: int
    call_id: str
    name: str
    freeform: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a call's arguments; all of them together are one JSON object."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The arguments of a call are whole. A call without this mark must not be executed."""

    index: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about the answer that a client may want to know: one word for programs, such as `coerced:limit`."""

    word: str


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the model found while it searched."""

    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Cited:
    """The text just before this point rests on these sources."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A citation with its place: `start` and `end` count code points of the answer's text."""

    source: Source
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. `completion` is visible text and the arguments of calls, `reasoning` the thinking beside it."""

    prompt: int
    completion: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole.

    `reason` is `stop`, `tool_calls` where it ends with calls, or `length` where a limit ended it. `stopped_by` is the
    stop sequence that ended it. `cut` says that the upstream had more to say than the client is given.
    """

    reason: str = "stop"
    stopped_by: str | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """The answer ended with an error: what came before is not the whole. Nothing follows."""

    error: GatewayError


Preamble = Served | Opened | PromptMoved | Source | Warned
"""What comes before the first word: a client sees nothing of it."""

Event = (
    Served
    | Opened
    | PromptMoved
    | TextDelta
    | ThinkingDelta
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Warned
    | Source
    | Cited
    | Annotation
    | Usage
    | Finished
    | Failed
)
