"""The arguments of one call, written anew from what the model wrote, as far as they can be passed on.

Quotes, escapes and types are as they should be, so that all pieces together are one JSON object. A member is passed on
when it is whole and what follows confirms it; where the client asked for it, a string is passed on as it arrives. What
needs more than mending where it stands waits for the end of the body: if what the body then means begins with what was
passed on, the rest follows, and otherwise the call has failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from app.chat.request import ToolSpec
from app.toolcalls.repair import dump, mended, parsed, readable
from app.toolcalls.scanner import Scanner
from app.toolcalls.schema import Parameters
from app.toolcalls.wrapping import may_become_wrapping, understood

_LIKE_A_PATH = re.compile(r'"(?:[A-Za-z]:\\|\\\\)')
_TO_TELL = len('"C:\\')
_PART = re.compile(
    r"(?P<plain>[^\\\x00-\x1f\ud800-\udfff]++)"
    r'|(?P<escape>\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))'
    r"|(?P<cut>\\(?:u[0-9a-fA-F]{0,3})?\Z)"
    r"|(?P<odd>[\\\x00-\x1f\ud800-\udfff])"
)
_OTHER_TYPES = ("1", "true", "[]", "{}")


class Mode(Enum):
    """When arguments are passed on: with the call's end, with each member, or with each character of a string."""

    CALL = "call"
    VALUE = "value"
    EAGER = "eager"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called."""

    spec: ToolSpec
    parameters: Parameters
    mode: Mode = Mode.VALUE


class Arguments:
    """The arguments of one call. `warnings` says what had to be done to them, in words for programs.

    A `freeform` tool takes one text. `unwraps` takes off what models put around arguments.
    """

    def __init__(self, parameters: Parameters, mode: Mode, *, freeform: bool = False, unwraps: bool = True) -> None:
        self.warnings: list[str] = []
        self._freeform = freeform
        self._mode = Mode.CALL if freeform else mode
        self._parameters = parameters
        self._unwraps = unwraps
        self._members: list[tuple[str, object]] = []
        self._waiting: list[tuple[str, str]] = []
        self._stopped = False
        self._withheld = False
        self._open: str | None = None
        self._shown: list[str] = []
        self._pieces = 0
        self._sent = 0
        self._rest = ""

    @property
    def begun(self) -> bool:
        """Whether something was passed on."""
        return bool(self._members) or self._open is not None

    @property
    def eager(self) -> bool:
        """Whether strings are passed on as they arrive."""
        return self._mode is Mode.EAGER

    def of(self, scanner: Scanner) -> str:
        """What may be passed on of all that the scanner has found by now."""
        members, scanner.members = scanner.members, []
        self._waiting += members
        waits = not self._waiting or self._mode is Mode.CALL or self._may_wrap(scanner.key)
        passed = "" if waits else self._passed()
        return passed + self._followed(scanner) if self._mode is Mode.EAGER else passed

    def finish(self, body: str, *, whole: bool = False) -> str | None:
        """The body has ended; give the rest of the arguments, or None if they cannot be told.

        `whole` says that it is one JSON value whose members were all found.
        """
        rest = ""
        if whole and not self._freeform and body.lstrip()[:1] == "{" and not self._may_wrap():
            rest = self._passed()
            if not self._stopped:
                return rest + ("}" if self._members else "{}")
        more = self._from_meaning(body)
        return None if more is None else rest + more

    def mismatches(self) -> tuple[str, ...]:
        """Where the arguments do not fit the tool's schema."""
        return () if self._freeform else self._parameters.mismatches(dict(self._members))

    def _followed(self, scanner: Scanner) -> str:
        """The string that is being read, or waits to be confirmed: what of it may be passed on."""
        name, raw = scanner.unconfirmed or (scanner.key, None)
        if self._stopped or self._waiting or self._withheld or name is None:
            return ""
        if raw is None:
            pieces = scanner.unfinished_string
            new, read = "".join([self._rest, *pieces[self._pieces :]]), len(pieces)
        else:
            new, read = (raw[self._sent : -1] if raw[0] == '"' else ""), self._pieces
        begins = self._open is None
        if begins and not self._opens(name, new):
            return ""
        text, self._rest = _as_it_arrives(new)
        self._shown.append(text)
        self._pieces = read
        self._sent += len(new) - len(self._rest)
        return self._label(self._open or "") + text if begins else text

    def _opens(self, name: str, beginning: str) -> bool:
        """Whether a string is passed on before it is whole: nothing about it can change later."""
        if len(beginning) < _TO_TELL:
            return False
        key = _name(name)
        plain = key is not None and not _LIKE_A_PATH.match(beginning) and not self._may_wrap(name)
        self._withheld = not plain or any(self._parameters.coerced(key or "", other)[1] for other in _OTHER_TYPES)
        self._open = None if self._withheld else key
        return not self._withheld

    def _closes(self, value: object) -> None:
        """The string that is being passed on is whole."""
        self._members.append((self._open or "", value))
        self._open, self._shown, self._pieces, self._sent, self._rest = None, [], 0, 0, ""

    def _passed(self) -> str:
        """All that waits, as far as it can be mended where it stands."""
        out: list[str] = []
        while self._waiting and not self._stopped:
            name, value = _name(self._waiting[0][0]), mended(self._waiting[0][1])
            if name is None or value is None:
                self._stopped = True
                break
            raw, self._withheld = self._waiting.pop(0)[1], False
            self.warnings += value.warnings
            if self._open is not None:
                out.append(_as_it_arrives(raw[self._sent :])[0])
                self._closes(value.value)
                continue
            brought = self._coerced(name, value.value)
            text = value.text if brought is value.value else dump(brought)
            mends = text is not raw and brought is value.value
            if mends and isinstance(brought, str) and not _LIKE_A_PATH.match(raw):
                text = _as_it_arrives(raw)[0]  # the same text, whether it arrived in pieces or not
            out.append(self._label(name) + text)
            self._members.append((name, brought))
        return "".join(out)

    def _from_meaning(self, body: str) -> str | None:
        """The rest of what the body means, if that begins with what was passed on: it cannot be taken back."""
        found = understood(body, self._parameters.names, freeform=self._freeform) if self._unwraps else readable(body)
        if found is None and self._freeform:
            found = understood(dump(body.strip("\r\n")), (), freeform=True)
        if found is None or not isinstance(found.value, dict):
            return None
        members = [(name, self._coerced(name, value)) for name, value in found.value.items()]
        out = ""
        if self._open is not None:
            self._closes(parsed("".join([*self._shown, '"'])))
            out = '"'
        if members[: len(self._members)] != self._members:
            return None
        self.warnings += found.warnings
        for name, value in members[len(self._members) :]:
            out += self._label(name) + dump(value)
            self._members.append((name, value))
        return out + ("}" if self._members else "{}")

    def _may_wrap(self, name: str | None = None) -> bool:
        """Whether what waits may turn out to be a call in the call: its name, and its arguments as one member.

        `name` is that of the member that is being read.
        """
        if self.begun or not self._unwraps:
            return False
        keys = {_name(key) or "" for key in (*(key for key, _ in self._waiting), *([name] if name else []))}
        return may_become_wrapping(keys, self._parameters.names)

    def _label(self, name: str) -> str:
        return ("{" if not self._members else ", ") + dump(name) + ": "

    def _coerced(self, name: str, value: object) -> object:
        brought, changed = self._parameters.coerced(name, value)
        if changed:
            self.warnings.append(f"coerced:{name}")
        return brought if changed else value


def _name(text: str) -> str | None:
    try:
        return str(parsed(text, strict=False))
    except ValueError:
        return None


def _as_it_arrives(text: str) -> tuple[str, str]:
    """A piece of a JSON string with its escapes mended, and the escape at its end that is not whole yet."""
    out: list[str] = []
    for part in _PART.finditer(text):
        if part.lastgroup == "cut":
            return "".join(out), part[0]
        out.append(dump(part[0])[1:-1] if part.lastgroup == "odd" else part[0])
    return "".join(out), ""
