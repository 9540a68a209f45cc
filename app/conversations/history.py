"""Histories as digests: what tells whether a request goes on where an earlier answer ended; pure.

A client sends its whole history with every turn. Two digests are made of the part that an answer has seen, up to its
last assistant message. The strict one leaves out of answers only what clients are known to change: thinking, white
space at the ends, the words beside calls of tools, and arguments that say what the tool would do anyway (Claude Code
writes a tool's defaults into its calls). The lenient one leaves out all white space of answers, knows a call of ours by
its id alone (Claude Code also cuts white space out of arguments, and mends them), and takes in the client's own name
for the conversation: it recognises a history whose answers the client has laid out anew, and still no edited one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.chat.request import ChatRequest, Message, Role, ToolCallPart, ToolSpec

# Anchored, so that a text full of opening tags is not searched from each of them.
_THINKING = re.compile(
    r"\A\s*(?:<(think|thinking|reasoning)>.*?</\1>|<details [^>]{0,200}type=\"reasoning\"[^>]{0,200}>.*?</details>)",
    re.DOTALL,
)
_SPACE = re.compile(r"\s+")
_OUR_CALL = re.compile(r"call_[0-9a-f]{24}")
"""An id that this gateway gave a call (gateway/chain.py): nobody else's is like it, and no two are alike."""


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


def of_request(request: ChatRequest, kind: str) -> bytes:
    """The digest of all that a request says."""
    return _digests(request, kind, request.messages).strict


def last_answer(messages: Sequence[Message]) -> int | None:
    """The place of the last assistant message."""
    return next((index for index in reversed(range(len(messages))) if messages[index].role is Role.ASSISTANT), None)


def _digests(request: ChatRequest, kind: str, messages: Sequence[Message]) -> Digests:
    tools = sorted(_tool(tool) for tool in request.tools.told)
    head = [kind, str(len(tools)), *tools]
    defaults = _Defaults(request.tools.tools)

    def by_arguments(call: ToolCallPart) -> str:
        return f"call {json.dumps(call.name)} {_canonical(call.arguments, defaults.of(call.name))}"

    def by_id(call: ToolCallPart) -> str:
        return f"call {call.call_id}" if _OUR_CALL.fullmatch(call.call_id) else by_arguments(call)

    strict = _digest([*head, *_all_of(messages, _strict, by_arguments)])
    if not request.session:
        return Digests(strict, None)
    return Digests(strict, _digest([request.session, *head, *_all_of(messages, _lenient, by_id)]))


def _all_of(
    messages: Sequence[Message], text: Callable[[Message], str], told: Callable[[ToolCallPart], str]
) -> Iterator[str]:
    """Who said what, what was called and answered, and what was attached; `told` is how a call is known again.

    An attachment's identity is never the name of a role, nor is what begins with the word for a call or a result.
    """
    for message in messages:
        yield message.role.value
        yield "" if message.calls else text(message)
        yield from map(told, message.calls)
        if message.answers is not None:
            yield f"result {message.answers.number} {message.answers.failed}"
        for file in message.files:
            yield file.identity


class _Defaults:
    """What the arguments of these tools are where they are not given; a schema is read when its tool is called."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._tools = tools
        self._known: dict[str, Mapping[str, object]] = {}

    def of(self, name: str) -> Mapping[str, object]:
        """Those of a tool, as far as its schema tells."""
        if name not in self._known:
            self._known[name] = next((_defaults(tool) for tool in self._tools if tool.name == name), {})
        return self._known[name]


def _defaults(tool: ToolSpec) -> Mapping[str, object]:
    schema = _parsed(tool.parameters)
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {
        name: inner["default"] for name, inner in properties.items() if isinstance(inner, dict) and "default" in inner
    }


def _tool(tool: ToolSpec) -> str:
    return json.dumps([tool.name, tool.description, tool.freeform, _canonical(tool.parameters)])


def _canonical(text: str, defaults: Mapping[str, object] = MappingProxyType({})) -> str:
    """A JSON text in one form: clients write the same value in their own ways. Members of these values are left out."""
    value = _parsed(text)
    if value is None:
        return text
    if defaults and isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if name not in defaults or inner != defaults[name]}
    return json.dumps(value, sort_keys=True)


def _parsed(text: str) -> object:
    """The value of a JSON text; None for what is no JSON."""
    try:
        value: object = json.loads(text, parse_float=_number)
    except (ValueError, RecursionError):
        return None
    return value


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
