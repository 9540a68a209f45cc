"""What a test may order a model to do with the tools of its prompt: an `act`, and the words it comes to."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from emulator.tool_syntax import Lesson, Result
from emulator.values import Malformed, as_object, as_objects, flag, refuse_unknown, text

_PLACEHOLDER = re.compile(r"\{\{result(?::([^{}]+))?\}\}")
_CALL_KEYS = frozenset({"name", "arguments"})


class Puzzled(Exception):
    """The model cannot do what was ordered; the message is what it says instead."""


@dataclass(frozen=True)
class OrderedCall:
    """One call: the tool's name, and its arguments as an object or as text that is sent as it is."""

    name: str
    arguments: object


@dataclass(frozen=True)
class Act:
    """Calls with words around them. See the README for each field."""

    say: str = ""
    calls: tuple[OrderedCall, ...] = ()
    after: str = ""
    fence: bool = False
    unlisted: bool = False
    in_thinking: bool = False


_ACT_KEYS = frozenset(item.name for item in fields(Act))


def read_act(value: object) -> Act | None:
    """Read the `act` of an ANSWER, None when there is none; raises `Malformed`."""
    if value is None:
        return None
    source = as_object(value, "act")
    refuse_unknown(source, _ACT_KEYS, "an act")
    return Act(
        say=text(source, "say"),
        calls=tuple(map(_read_call, as_objects(source.get("calls") or [], "calls"))),
        after=text(source, "after"),
        fence=flag(source, "fence"),
        unlisted=flag(source, "unlisted"),
        in_thinking=flag(source, "in_thinking"),
    )


def perform(act: Act, lesson: Lesson | None, results: Sequence[Result]) -> str:
    """Put the words and the calls of an act together; raises `Puzzled`.

    `results` are those that the model has just been given, oldest first.
    """

    def told(words: str) -> str:
        return _PLACEHOLDER.sub(lambda found: _result(found[1], results), words)

    blocks = [_block(call, act, lesson, told) for call in act.calls]
    return "\n".join(part for part in (told(act.say), *blocks, told(act.after)) if part)


def _read_call(source: dict[str, object]) -> OrderedCall:
    refuse_unknown(source, _CALL_KEYS, "a call")
    name, arguments = text(source, "name"), source.get("arguments")
    if not name:
        raise Malformed("name is missing in a call")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict | str):
        raise Malformed("arguments must be an object or a string")
    return OrderedCall(name, arguments)


def _block(call: OrderedCall, act: Act, lesson: Lesson | None, told: Callable[[str], str]) -> str:
    if lesson is None:
        raise Puzzled("I was taught no way to call tools.")
    if call.name not in lesson.schemas and not act.unlisted:
        raise Puzzled(f"I know no tool {call.name}.")
    block = lesson.call(call.name, _in_strings(call.arguments, told))
    return f"```\n{block}\n```" if act.fence else block


def _in_strings(value: object, told: Callable[[str], str]) -> object:
    """Fill in the placeholders of every string in a JSON value; keys are left as they are."""
    if isinstance(value, str):
        return told(value)
    if isinstance(value, dict):
        return {key: _in_strings(item, told) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_strings(item, told) for item in value]
    return value


def _result(name: str | None, results: Sequence[Result]) -> str:
    """Give the text of the last result, or of the last one of a tool, without the white space around it."""
    fitting = [result.text for result in results if name in {None, result.name}]
    if not fitting:
        raise Puzzled("I see no result." if name is None else f"I see no result of {name}.")
    return fitting[-1].strip()
