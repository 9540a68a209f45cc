"""Everything that is done to an answer between Kimi and the client, for one turn of one account.

The order of the stages is that of an answer's life: calls are taken out of the text, then the client's limits end it,
then its form is judged; what is left gets its citations, and is counted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from app.chat.events import Event, Opened
from app.chat.limits import StopSequences, TokenLimit
from app.chat.prompt import prompt_tokens
from app.chat.request import ChatRequest, Choice, Role, ToolSpec, latest
from app.chat.stages import CallEnds, Citations, Stage, UsageCount
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.asking import Duty
from app.toolcalls.calls import Rules
from app.toolcalls.marks import Marks, nonce_of
from app.toolcalls.prompt import FREEFORM, Guide, guide
from app.toolcalls.reading import ToolReading
from app.toolcalls.schema import Parameters
from app.toolcalls.structured import ObjectReading, ValueReading
from config.models import ModelChoice


class Reading(Protocol):
    """A stage that judges an answer, and may want the model to answer again."""

    follow_up: str | None

    def __call__(self, events: list[Event]) -> list[Event]:
        """As every stage."""

    def begin(self) -> None:
        """The model is about to answer what it was asked."""

    def conclude(self) -> list[Event]:
        """The model cannot be asked: the end of the answer as it stands."""


def new_call_id() -> str:
    """An id for a call, as OpenAI's look."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request asks of its answer, for one account.

    `marks` are those of its tools, None where neither the request nor its history has any. `searches` says that Kimi's
    own search is on.
    """

    request: ChatRequest
    choice: ModelChoice
    marks: Marks | None
    searches: bool

    @classmethod
    def of(cls, request: ChatRequest, choice: ModelChoice, secret: bytes) -> Terms:
        """The terms of a request; `secret` is the account's."""
        used = request.tools.tools or any(message.calls or message.role is Role.TOOL for message in request.messages)
        searches = choice.research or (choice.search if request.use_search is None else request.use_search)
        marks = Marks(nonce_of(secret, _beginning(request))) if used else None
        return cls(request, choice, marks, searches)

    def guide(self, *, told: bool) -> Guide:
        """What the model is told; `told` says that the conversation has heard of the tools before."""
        return guide(self.request.tools, self.request.form, self.marks, told=told, searches=self.searches)


def _beginning(request: ChatRequest) -> Iterator[str]:
    """How a conversation begins: its id where the client names it, else all up to the first word of its user.

    What the model has said is none of it: where no user had spoken before, one may speak later.
    """
    if request.conversation_id is not None:
        yield request.conversation_id
        return
    for message in request.messages:
        if message.role in {Role.ASSISTANT, Role.TOOL}:
            return
        yield message.text
        if message.role is Role.USER:
            return


class Chain:
    """All stages of one answer to the client."""

    def __init__(self, terms: Terms, *, errs: bool, new_id: Callable[[], str] = new_call_id) -> None:
        self._terms = terms
        self._readings: list[Reading] = []
        self._stages: list[Stage] = []
        self._opened = False
        request, choice = terms.request, terms.choice
        if terms.marks is not None:
            after_result = latest(request.messages).role is Role.TOOL
            duty = Duty(request.tools, errs=errs, after_result=after_result)
            self._add(ToolReading(terms.marks, _rules(request), duty, new_id=new_id))
        self._limits = len(self._stages)
        self._stages += self._new_limits()
        if request.form is not None:
            simple = request.form.schema is None and not request.tools.told
            self._add(ObjectReading() if simple else ValueReading(request.form, terms.marks))
        self._stages += [
            Citations(written=choice.list_sources and not choice.silent and request.form is None),
            UsageCount(prompt_tokens(request)),
            CallEnds(),
        ]

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass a list of events through all stages."""
        return self._passed(self._named_once(events))

    @property
    def follow_up(self) -> str | None:
        """What the model is to be asked, now that its answer has ended; None if the answer to the client has."""
        return next((reading.follow_up for reading in self._readings if reading.follow_up is not None), None)

    def begin(self) -> None:
        """The model is about to answer what it was asked. What comes of a form is limited anew: it begins anew."""
        if self._terms.request.form is not None:
            limits = self._new_limits()
            self._stages[self._limits : self._limits + len(limits)] = limits
        for reading in self._readings:
            reading.begin()

    def conclude(self) -> list[Event]:
        """The model cannot be asked: the end of the answer as it stands."""
        out: list[Event] = []
        for reading in self._readings:  # what one of them lets go, the next may want to ask about
            if reading.follow_up is not None:
                out += self._passed(reading.conclude(), self._stages.index(reading) + 1)
        return out

    def _add(self, reading: Reading) -> None:
        self._readings.append(reading)
        self._stages.append(reading)

    def _new_limits(self) -> list[Stage]:
        request = self._terms.request
        limits: list[Stage] = [StopSequences(request.stop)] if request.stop else []
        return [*limits, TokenLimit(request.max_tokens)] if request.max_tokens is not None else limits

    def _named_once(self, events: list[Event]) -> list[Event]:
        """The conversation is named once, however many answers of the model's there are in it."""
        if not any(isinstance(event, Opened) for event in events):
            return events
        kept = [event for event in events if not (self._opened and isinstance(event, Opened))]
        self._opened = True
        return kept

    def _passed(self, events: list[Event], start: int = 0) -> list[Event]:
        for stage in self._stages[start:]:
            events = stage(events)
        return events


def _rules(request: ChatRequest) -> Rules:
    use = request.tools
    whole = use.choice is Choice.REQUIRED  # a call that had to come may have to be asked for again
    tools = {spec.name: _tool(spec, whole=whole) for spec in use.tools}
    return Rules(
        tools,
        frozenset(spec.name for spec in use.told),
        discards=not use.told,
        parallel=use.parallel,
    )


def _tool(spec: ToolSpec, *, whole: bool) -> Tool:
    mode = Mode.CALL if whole else Mode.EAGER if spec.eager else Mode.VALUE
    return Tool(spec, Parameters(FREEFORM if spec.freeform else spec.parameters), mode)
