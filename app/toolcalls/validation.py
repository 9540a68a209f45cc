"""Judges a value by a schema that somebody wrote: it never raises, never asks the network and ends soon.

What cannot be judged is taken to fit. The library judges; this is who asks it, and puts what it found in order.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import create
from referencing import Registry

from app.toolcalls.keywords import KEYWORDS, MAX_MESSAGE, RUN, Run
from app.toolcalls.vocabulary import Linked

MAX_VALUE = 1 << 20
"""Characters of JSON; a larger value is not judged."""

MAX_FOUND = 200
MAX_WORD = 80

_Validator = create(meta_schema=Draft202012Validator.META_SCHEMA, validators=KEYWORDS)

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a schema does not allow: the keyword that says so, and where in the value.

    `missing` is the name of a required property that is not there.
    """

    keyword: str
    path: Path
    message: str
    missing: str | None = None

    @property
    def word(self) -> str:
        """What programs read in a header: `schema:KEYWORD:PATH`, visible ASCII without commas."""
        keyword, path = (self.keyword, self.path) if self.missing is None else ("missing", (*self.path, self.missing))
        return re.sub(r"[^!-+\--~]", "?", f"schema:{keyword}:{dotted(path)}")[:MAX_WORD]

    @property
    def line(self) -> str:
        """What a model reads, on one line."""
        line = f"{dotted(self.path)}: {self.message}"
        return "".join(character if character.isprintable() else "?" for character in line)


def dotted(path: Path) -> str:
    """A place in a value; `$` is the value itself."""
    return ".".join(map(str, path)) or "$"


class Judge:
    """A schema, ready to judge values by; raises RecursionError for one that is nested too deeply."""

    def __init__(self, schema: object) -> None:
        self._linked = Linked(schema)
        linked = {"$ref": "#/$defs/0", "$defs": self._linked.targets}
        # An explicit registry: the default one fetches what it does not know.
        self._validator = _Validator(linked, registry=Registry())

    def violations(self, value: object) -> tuple[Violation, ...]:
        """What the schema does not allow in a value, the outermost first; () also if that cannot be told."""
        mark = None
        try:
            if len(json.dumps(value, ensure_ascii=False)) > MAX_VALUE:
                return ()
            mark = RUN.set(Run(self._linked))
            errors = list(islice(self._validator.iter_errors(value), MAX_FOUND))
            return tuple(sorted({_violation(error) for error in errors}, key=_order))
        except Exception:  # noqa: BLE001 # whatever a stranger's schema does to a library, the request goes on
            return ()
        finally:
            if mark is not None:
                RUN.reset(mark)


def _order(violation: Violation) -> tuple[object, ...]:
    places = tuple((0, step, "") if isinstance(step, int) else (1, 0, step) for step in violation.path)
    return len(places), places, violation.keyword, violation.missing or "", violation.message


def _violation(error: ValidationError) -> Violation:
    """What is wrong in the words of the alternative that was most likely meant."""
    found = best_match([error]) or error
    if found.context and all(inner.validator == "type" and not inner.path for inner in found.context):
        kinds = sorted({kind for inner in found.context for kind in _kinds(inner.validator_value)})
        message = f"{found.instance!r} is not of type {', '.join(map(repr, kinds))}"
        return Violation("type", tuple(found.absolute_path), message[:MAX_MESSAGE])
    keyword = found.validator if isinstance(found.validator, str) else "false"
    missing = str(found.validator_value) if keyword == "required" else None
    return Violation(keyword, tuple(found.absolute_path), found.message, missing)


def _kinds(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []
