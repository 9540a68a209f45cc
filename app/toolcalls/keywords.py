"""What the keywords of a schema say of a value, for the library `jsonschema`: all but its unsafe parts.

Its own keywords search with Python's `re`, follow references without end, compare each item with each, and find that
19.99 is no multiple of 0.01. Those are written anew here, and all look at one clock. What cannot be judged is taken to
fit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from fractions import Fraction
from typing import Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from app.toolcalls.patterns import Search
from app.toolcalls.vocabulary import APPLICATORS, ASSERTIONS, NEVER, Linked

MAX_STEPS = 40_000
"""Keywords and errors that one judgement may go through: some tenths of a second, if none of them is slow."""

SECONDS = 0.5
"""Time on the processor that it may take if they are."""

MAX_PAUSE = SECONDS / 4
"""What counts of one step at most: the collector of garbage may have come in between."""

MAX_MESSAGE = 500
MAX_UNEVALUATED = 1000
"""How large a value may be for the `unevaluated` keywords, which take time in the square of it."""


class SpentError(Exception):
    """The judgement takes too long."""


class Run:
    """What one judgement may still take, and what it has met."""

    def __init__(self, linked: Linked) -> None:
        self.linked = linked
        self.open: set[tuple[str, int]] = set()
        self.search = Search()
        self._steps = 0
        self._spent = 0.0
        self._last = time.thread_time()

    def step(self) -> None:
        """Raise if it is too long by now."""
        now = time.thread_time()
        self._spent += min(now - self._last, MAX_PAUSE)
        self._last = now
        self._steps += 1
        if self._steps > MAX_STEPS or self._spent > SECONDS:
            raise SpentError

    def found(self, pattern: str, text: str) -> bool | None:
        """Whether a pattern is found in a text; None if that cannot be told."""
        self.step()
        return self.search.found(pattern, text)


RUN: ContextVar[Run] = ContextVar("run")
"""The judgement that goes on: the library builds its validators anew for each schema within a schema."""


class _Library(Protocol):
    """What keywords use of the library's validator."""

    def descend(
        self,
        instance: object,
        schema: object,
        path: str | int | None = None,
        schema_path: str | int | None = None,
    ) -> Iterator[ValidationError]:
        """The errors of a value within the value."""


Schema = Mapping[str, object]
Keyword = Callable[[_Library, object, object, Schema], Iterator[ValidationError]]


def _reference(library: _Library, reference: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    del schema
    run = RUN.get()
    number = str(reference).rpartition("/")[2]
    mark = (number, id(value))
    if mark in run.open:
        # The schema says of itself that it holds if it holds.
        return
    run.open.add(mark)
    try:
        errors = list(library.descend(value, run.linked.targets[number]))
    finally:
        run.open.discard(mark)
    yield from errors


def _never(library: _Library, wanted: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    del library, wanted, schema
    yield ValidationError(f"{value!r} is not allowed here")


def _required(library: _Library, names: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    del library, schema
    if isinstance(value, dict) and isinstance(names, list):
        for name in names:
            if name not in value:
                yield ValidationError(f"{name!r} is a required property", validator="required", validator_value=name)


def _pattern(library: _Library, pattern: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    del library, schema
    if isinstance(value, str) and RUN.get().found(str(pattern), value) is False:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(library: _Library, named: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    del schema
    if isinstance(value, dict) and isinstance(named, dict):
        for pattern, inner in named.items():
            for name, each in value.items():
                if RUN.get().found(pattern, name):
                    yield from library.descend(each, inner, path=name, schema_path=pattern)


def _additional(library: _Library, inner: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, dict) or inner is True:
        return
    named, patterns = schema.get("properties"), schema.get("patternProperties")
    extra = [name for name in value if not (isinstance(named, dict) and name in named)]
    if isinstance(patterns, dict):
        run = RUN.get()
        extra = [name for name in extra if all(run.found(pattern, name) is False for pattern in patterns)]
    if inner is not False:
        for name in extra:
            yield from library.descend(value[name], inner, path=name)
    elif extra:
        yield ValidationError(f"additional properties are not allowed: {', '.join(map(repr, extra))}")


def _multiple(library: _Library, divisor: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    """By decimal digits: in binary 19.99 is no multiple of 0.01."""
    del library, schema
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (Fraction(str(value)) / Fraction(str(divisor))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {divisor!r}")


def _unique(library: _Library, wanted: object, value: object, schema: Schema) -> Iterator[ValidationError]:
    """The library compares each item with each."""
    del library, schema
    if not wanted or not isinstance(value, list):
        return
    seen: set[str] = set()
    for each in value:
        RUN.get().step()
        seen.add(json.dumps(_plain(each), sort_keys=True))
    if len(seen) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _plain(value: object) -> object:
    """The value, in which equal numbers are written alike."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


def _bounded(keyword: Keyword) -> Keyword:
    """An `unevaluated` keyword of the library, where it uses neither patterns nor a number of steps in the square."""

    def judged(library: _Library, inner: object, value: object, schema: Schema) -> Iterator[ValidationError]:
        small = not isinstance(value, dict | list) or len(value) <= MAX_UNEVALUATED
        if small and not RUN.get().linked.patterned:
            yield from keyword(library, inner, value, schema)

    return judged


def _counted(keyword: Keyword) -> Keyword:
    """A keyword that looks at the clock, and is brief: a message quotes the value, however large."""

    def judged(library: _Library, inner: object, value: object, schema: Schema) -> Iterator[ValidationError]:
        run = RUN.get()
        run.step()
        for error in keyword(library, inner, value, schema):
            run.step()
            error.message = error.message[:MAX_MESSAGE]
            yield error

    return judged


_OWN: dict[str, Keyword] = {
    "$ref": _reference,
    **dict.fromkeys(NEVER, _never),
    "required": _required,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "multipleOf": _multiple,
    "uniqueItems": _unique,
    "unevaluatedProperties": _bounded(Draft202012Validator.VALIDATORS["unevaluatedProperties"]),
    "unevaluatedItems": _bounded(Draft202012Validator.VALIDATORS["unevaluatedItems"]),
}

_LIBRARY: dict[str, Keyword] = Draft202012Validator.VALIDATORS

KEYWORDS: dict[str, Keyword] = {
    keyword: _counted(_OWN.get(keyword) or _LIBRARY[keyword])
    for keyword in ("$ref", *NEVER, *ASSERTIONS, *APPLICATORS)
    if keyword in _OWN or keyword in _LIBRARY
}
"""What judges by each keyword; the others of the table are read by these."""
