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
    """Token counts. `completion` is the visible text, `reasoning` the thinking beside it."""

    prompt: int
    completion: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole; `reason` is `stop`, or `length` where the upstream's limit ended it."""

    reason: str = "stop"


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """The answer ended with an error: what came before is not the whole. Nothing follows."""

    error: GatewayError


Preamble = Served | Opened | PromptMoved | Source
"""What comes before the first word: a client sees nothing of it."""

Event = (
    Served | Opened | PromptMoved | TextDelta | ThinkingDelta | Source | Cited | Annotation | Usage | Finished | Failed
)
