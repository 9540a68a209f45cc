"""Logging with the standard library: one line per record on stderr, and never a credential in it.

Whatever a record is made of (message, arguments, extra fields, traceback, the text of a foreign exception that
quotes a URL) is redacted when it is formatted, as the last step before the wire. So a module may log without
thinking of it. The patterns rather take too much than too little. Each one is linear: it is possessive
wherever it repeats, and where it could start at every character of a run, a lookbehind allows the first only.

Extra fields are given as `log.info("opened", extra={"fields": {"chat": chat_id}})`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

REDACTED: Final = "[redacted]"
"""What stands in place of a credential."""

_NOISY: Final = ("urllib3", "requests", "werkzeug")  # they log each request, with its URL
_FORMATS: Final = ("json", "text")
_MAX_NESTING: Final = 8  # of extra fields; what lies deeper is written as Python shows it

# Where a word may begin: also after an escape, for a repr or JSON turns the line break before it into `\n`.
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"

# Names whose value is a credential. A plural must be one of ours: `prompt_tokens` is a number.
_GUARDED: Final = (
    r"(?:token|api[_-]?keys?|kimi[_-]tokens|secret|passw(?:or)?d|authorization|cookie|kimi-auth|credentials?"
    rf"|{_START}key)"
)
_IS_GUARDED: Final = re.compile(rf"{_GUARDED}\Z", re.IGNORECASE)
_HAS_GUARDED: Final = re.compile(_GUARDED, re.IGNORECASE)

_SHAPES: Final = (  # credentials that are known by their look
    # Bearer and whatever follows, also a list of credentials after commas.
    (re.compile(r"(bearer\s++)\S++(?:(?<=[\w=-],)\s++\S++)*+", re.IGNORECASE), rf"\g<1>{REDACTED}"),
    # JWT: its first part is base64url of `{"` and a letter, hence `eyJ`; any other of three long parts as well.
    (re.compile(r"eyJ[\w-]{6,}+(?:\.[\w-]*+)*+", re.ASCII), REDACTED),
    (re.compile(r"(?<![\w-])[\w-]{16,}+\.[\w-]{16,}+\.[\w-]{16,}+", re.ASCII), REDACTED),
    # Key of the official platform.
    (re.compile(_START + r"sk-[\w.+/=-]{3,}+", re.ASCII), REDACTED),
)
_VALUES: Final = (  # credentials that are known by what stands before them
    # The rest of a cookie header: it goes on after each semicolon.
    (re.compile(r"(cookie\s*+[:=]\s*+)[^\r\n\"']++", re.IGNORECASE), rf"\g<1>{REDACTED}"),
    # name="value" in JSON (also within a JSON string), in a Python repr, in a header. The quote is compared at
    # every character: unbounded, its backslashes would make that quadratic.
    (
        re.compile(
            rf"({_GUARDED}(?:\\{{0,8}}+[\"'])?\s*+[:=]\s*+[brfu]?(?P<quote>\\{{0,8}}+[\"']))"
            r"(?:(?!(?P=quote))(?:\\.|.))++",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\g<1>{REDACTED}",
    ),
    # name=value in a query string or a form, also percent-encoded; name: value where the value looks random.
    (re.compile(rf"({_GUARDED}\s*+(?:=|%3D)\s*+)[^\s\"'&]++", re.IGNORECASE), rf"\g<1>{REDACTED}"),
    (re.compile(rf"({_GUARDED}\s*+:\s*+)[^\s\"'&]{{16,}}+", re.IGNORECASE), rf"\g<1>{REDACTED}"),
    # An opaque token in prose after a word of that kind: `the refresh token 0a1b... was refused`.
    (
        re.compile(rf"({_GUARDED}s?[\s:='\"(,]{{1,4}}+)[0-9a-f]{{32,}}+", re.IGNORECASE),
        rf"\g<1>{REDACTED}",
    ),
)

# A client that puts a line break into a logged value must not begin a line of the log, nor speak to the
# terminal. Control pictures show what was there.
_CONTROLS: Final = (
    {code: 0x2400 + code for code in range(0x20)}
    | dict.fromkeys(range(0x7F, 0xA0), 0x2421)
    | dict.fromkeys((0x85, 0x2028, 0x2029), 0x2424)
)


def configure(level: str, fmt: str) -> None:
    """Send all records of at least `level` to stderr, in `fmt`.

    `level` is debug, info, warning or error; `fmt` is json (one object per line) or text. What was configured
    before on the root logger is replaced, so calling it again is the same as calling it once.

    Raises ValueError for another level or format.
    """
    if fmt not in _FORMATS:
        raise ValueError(f"the log format is one of {', '.join(_FORMATS)}")
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise ValueError("the log level is one of debug, info, warning, error")
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    for previous in root.handlers[:]:
        root.removeHandler(previous)
    root.addHandler(output)
    root.setLevel(threshold)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    # When a record cannot be written, logging would print its message and arguments, unredacted.
    logging.raiseExceptions = False


def redact(text: str) -> str:
    """Return `text` with `[redacted]` in place of everything that looks like a credential.

    That is: JSON Web Tokens, `Bearer` and what follows, `sk-` keys, the values of token, key, secret, cookie and
    authorization fields in JSON, headers and query strings, and long hexadecimal strings after such a word.
    """
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    if _HAS_GUARDED.search(text):  # most lines have no such word
        for pattern, replacement in _VALUES:
            text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC, milliseconds), level, logger, message, extra fields, exception.

    Extra fields stand beside the others; one that has the name of another gives way.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(_message(record)),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact(record.stack_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line for a person: time, level, logger, message, name=value; then the traceback, if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; only a traceback has line breaks."""
        fields = "".join(f" {name}={_plain(value)}" for name, value in _fields(record).items())
        head = f"{_time(record)} {record.levelname} {record.name} {redact(_message(record))}{fields}"
        lines = [head.translate(_CONTROLS)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        if record.stack_info:
            lines.append(record.stack_info)
        return redact("\n".join(lines))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    """Return the message with its arguments; arguments that do not fit are shown beside it."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError):
        return f"{record.msg} {record.args!r}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the extra fields as redacted JSON values."""
    fields = getattr(record, "fields", None)
    if not isinstance(fields, Mapping):
        return {}
    return {redact(str(name)): _member(str(name), value, _MAX_NESTING) for name, value in fields.items()}


def _member(name: str, value: object, depth: int) -> object:
    """Return the value of a field as a redacted JSON value; of a credential field nothing is left."""
    if _IS_GUARDED.search(name) and value is not None and not isinstance(value, bool):
        return REDACTED
    return _redacted(value, depth)


def _redacted(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if depth and isinstance(value, Mapping):
        return {redact(str(name)): _member(str(name), item, depth - 1) for name, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth - 1) for item in value]
    if isinstance(value, float) and value - value == 0:  # NaN and the infinities are not JSON
        return value
    return redact(str(value))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
