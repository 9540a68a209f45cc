"""Which call each result of a history answers; pure.

Clients name calls by ids of their own, which mean nothing to the model and may come again in another turn. A number
does not: the first call of a history is 1, the next 2, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.chat.request import Message, Role, ToolCallPart, ToolResultPart


def numbered(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with the number and the name of its call in each result; those side by side in the calls' order.

    A result without an id answers the first call of its name that has no result yet, one without a name the first of
    all. One whose call is not there keeps what the client says of it, and stands behind the others.
    """
    calls: list[ToolCallPart] = []
    answered: set[int] = set()
    out: list[Message] = []
    run: list[Message] = []
    for message in messages:
        if message.role is not Role.TOOL:
            out += _in_order(run)
            run = []
            calls += message.calls
            out.append(message)
            continue
        answers = message.answers or ToolResultPart()
        place = _place(answers, calls, answered)
        if place is not None:
            answered.add(place)
            answers = replace(answers, name=calls[place].name, number=place + 1)
        rest = [part for part in message.parts if not isinstance(part, ToolResultPart)]
        run.append(replace(message, parts=(answers, *rest)))
    return (*out, *_in_order(run))


def _in_order(results: Iterable[Message]) -> list[Message]:
    def number(message: Message) -> float:
        answers = message.answers
        return float("inf") if answers is None or answers.number is None else answers.number

    return sorted(results, key=number)


def _place(answers: ToolResultPart, calls: Sequence[ToolCallPart], answered: set[int]) -> int | None:
    """The place of the call that is answered: the last one of that id, because some clients begin anew each turn."""
    if answers.call_id:
        return next((place for place in reversed(range(len(calls))) if calls[place].call_id == answers.call_id), None)
    open_calls = [place for place in range(len(calls)) if place not in answered]
    return next((place for place in open_calls if answers.name in {None, calls[place].name}), None)
