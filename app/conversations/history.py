"""Histories as digests: what tells whether a request goes on where an earlier answer ended; pure.

A client sends its whole history with every turn. Two digests are made of the part that an answer has seen, up to its
last assistant message. The strict one leaves out of answers only what clients are known to strip: thinking, white
space at the ends, and the words beside calls of tools. The lenient one leaves out all white space of answers, and takes
in the client's own name for the conversation: it recognises a history whose answers the client has laid out anew, and
still no edited one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.chat.request import ChatRequest, Message, Role, ToolSpec

# Anchored, so that a text full of opening tags is not searched from each of them.
_THINKING = re.compile(
    r"\A\s*(?:<(think|thinking|reasoning)>.*?</\1>|<details [^>]{0,200}type=\"reasoning\"[^>]{0,200}>.*?</details>)",
    re.DOTALL,
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Digests:
    """A history as the two kinds of recognition see it; `lenient` None where the client names no conversation."""

    strict: bytes
    lenient: bytes | None


def known(request: ChatRequest, kind: str) -> Digests | None:
    """The digests of what an earlier answer has seen; None where there is none, or nothing new after it.

    `kind` tells requests apart that no conversation can serve both (model, agent).
    """
    last = last_answer(request.messages)
    if last is None or last == len(request.messages) - 1:
        return None
    return _digests(request, kind, request.messages[: last + 1])


def after(request: ChatRequest, kind: str, answer: Message) -> Digests:
    """The digests of the history as the client will send it once it has this answer."""
    return _digests(request, kind, [*request.messages, answer])


def last_answer(messages: Sequence[Message]) -> int | None:
    """The place of the last assistant message."""
    return next((index for index in reversed(range(len(messages))) if messages[index].role is Role.ASSISTANT), None)


def _digests(request: ChatRequest, kind: str, messages: Sequence[Message]) -> Digests:
    tools = sorted(_tool(tool) for tool in request.tools.told)
    head = [kind, str(len(tools)), *tools]
    strict = _digest([*head, *_all_of(messages, _strict)])
    if not request.session:
        return Digests(strict, None)
    return Digests(strict, _digest([request.session, *head, *_all_of(messages, _lenient)]))


def _all_of(messages: Sequence[Message], text: Callable[[Message], str]) -> Iterator[str]:
    """Who said what, what was called and answered, and what was attached.

    An attachment's identity is never the name of a role, nor is what begins with the word for a call or a result.
    """
    for message in messages:
        yield message.role.value
        yield "" if message.calls else text(message)
        for call in message.calls:
            yield f"call {json.dumps(call.name)} {_canonical(call.arguments)}"
        if message.answers is not None:
            yield f"result {message.answers.number} {message.answers.failed}"
        for file in message.files:
            yield file.identity


def _tool(tool: ToolSpec) -> str:
    return json.dumps([tool.name, tool.description, tool.freeform, _canonical(tool.parameters)])


def _canonical(text: str) -> str:
    """A JSON text in one form: clients write the same value in their own ways."""
    try:
        return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _number(text: str) -> float:
    """A number with a point or an exponent; JavaScript writes 1.0 as 1."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _strict(message: Message) -> str:
    if message.role is not Role.ASSISTANT:
        return message.text
    return _THINKING.sub("", message.text).replace("\r\n", "\n").strip()


def _lenient(message: Message) -> str:
    return message.text if message.role is not Role.ASSISTANT else _SPACE.sub("", _THINKING.sub("", message.text))


def _digest(parts: Iterable[str]) -> bytes:
    """A hash of all parts, each with its length before it, so that none can pass for two."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()
