"""Makes an object of what a model wrote for the arguments of a call, if what it meant is beyond doubt.

The ladder goes from strict JSON over what can be mended where it stands (control characters, bad escapes, a comma too
many) to quotes that were not escaped, and ends with other punctuation. At no step may a string become another one than
was written: a wrong command is worse than none, so whatever is in doubt is given up, and the model is asked again.
Nothing here sees an object that was cut off; who calls makes sure of that. However odd a text is, only `parsed` raises,
and the time it takes is in proportion to the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

MAX_QUOTED = 256 * 1024
"""Characters of what is looked through for quotes that were not escaped, and for punctuation."""

MAX_DEPTH = 200
"""Levels of a value: what reads and writes JSON goes down by recursion."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("|\\?\Z)', re.DOTALL)
"""A string; one that does not end reaches to the end of the text, so that it is looked at only once."""

_TOKEN = re.compile(
    r'(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")'
    r"|(?P<single>'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+')(?=\s*+[,:}\]])"
    r"|(?P<number>true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=\s*+[,}\]\"])"
    r"|(?P<word>[A-Za-z_$][\w$.-]*+)(?=\s*+[,:}\]])"
    r"|(?P<mark>[{}\[\],:])"
    r"|(?P<space>\s++)",
    re.DOTALL,
)
_HALF = re.compile("[\ud800-\udfff]")
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_UNTOLD = frozenset({"NaN", "Infinity", "undefined"})
_BETWEEN = frozenset({"", "{", "[", ",", ":"})
_SIDE_BY_SIDE = re.compile(r'""k([0-9]++)"(:)?')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|(.)|$)', re.DOTALL)
_DRIVE = re.compile(r'"[A-Za-z]:\\')
_SHARE = re.compile(r'"\\\\[\w.-]{2,}(?:\\[\w .$~-]{2,})+"')
_BACKSLASH = re.compile(r'\\\\|\\(?!")')
_STAND_IN = re.compile(r'"k([0-9]++)"')
_CLOSERS = {"{": "}", "[": "]"}
_QUOTE = re.compile(r'(\\.)|"', re.DOTALL)
_COMMA = re.compile(r",(\s*+[}\]])")
_ANOTHER_MEMBER = re.compile(
    r'"\s*+(?:,\s*+)?"(?:[^"\\\n]|\\.)*+"\s*+:'
    r"""|"\s*+,\s*+(?:'[^'\n]*+'|[\w$-]++)\s*+:"""
)


@dataclass(frozen=True, slots=True)
class Mended:
    """A JSON value: its text, what it is, and what had to be done, in words for programs."""

    text: str
    value: object
    warnings: tuple[str, ...] = ()


def dump(value: object) -> str:
    """A value as JSON text, in its own letters where UTF-8 has them."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _HALF.search(text) else text


def parsed(text: str, *, strict: bool = True) -> object:
    """The value of a JSON text; raises ValueError. Without `strict`, strings may hold control characters."""
    try:
        value = json.loads(text, strict=strict, parse_constant=_no_json, parse_float=_finite)
    except RecursionError:
        raise ValueError("too deep") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _measure(value)
    return value


def mended(text: str) -> Mended | None:
    """A value as it stands, or with what can be mended where it stands; None if that is not enough."""
    try:
        value = parsed(text)
        return Mended(dump(value) if _HALF.search(text) else text, value)
    except ValueError:
        pass
    for warning, attempt in (("control_chars", text), ("bad_escape", escapes_mended(text)), ("repaired", None)):
        tried = _without_commas(escapes_mended(text)) if attempt is None else attempt
        try:
            value = parsed(tried, strict=False)
        except ValueError:
            continue
        return Mended(dump(value), value, (warning,))
    return None


def escapes_mended(text: str) -> str:
    """The text with every backslash that escapes nothing doubled.

    In a string that looks like a path of Windows and has such a backslash, all of them are meant as they stand.
    """
    return _STRING.sub(lambda string: _escapes_of(string[0]) if string[1] == '"' else string[0], text)


def readable(body: str, names: Sequence[str] = ()) -> Mended | None:
    """The JSON value that `body` means, None if that is in doubt."""
    return mended(body) or _split(body, names) or _repunctuated(body, names)


def _no_json(_word: str) -> NoReturn:
    raise ValueError("not of JSON")


def _finite(text: str) -> float:
    """A number that JSON can hold again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _measure(value: object) -> None:
    """Raise ValueError for a value of too many levels."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
    if level:
        raise ValueError("too deep")


def _escapes_of(string: str) -> str:
    bad = any(escape[1] is not None or escape[0] == "\\" for escape in _ESCAPE.finditer(string))
    if not bad:
        return string
    if _SHARE.fullmatch(string):
        return '"' + string[1:-1].replace("\\", "\\\\") + '"'
    if _DRIVE.match(string):
        return _BACKSLASH.sub(r"\\\\", string)
    return _ESCAPE.sub(lambda escape: escape[0] if escape[1] is None else "\\" + escape[0], string)


def _without_commas(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for string in _STRING.finditer(text):
        pieces += [_COMMA.sub(r"\1", text[at : string.start()]), string[0]]
        at = string.end()
    return "".join([*pieces, _COMMA.sub(r"\1", text[at:])])


def _split(body: str, names: Sequence[str]) -> Mended | None:
    """An object whose strings hold quotes that were not escaped, cut at the names that are known.

    Only if each name stands there once at the most, and no other name seems to: else a value may swallow a member. And
    only one string may hold quotes that do not come in pairs: two of them may be one that holds what looks like a name.
    """
    text = body.strip()
    if not names or len(text) > MAX_QUOTED or text[:1] != "{" or text[-1:] != "}":
        return None
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = list(re.finditer(rf'(?:\A\{{|,)\s*+"({known})"\s*+:\s*+', text))
    keys = [member[1] for member in found]
    if not found or found[0].start() != 0 or len(set(keys)) != len(keys):
        return None
    ends = [*(member.start() for member in found[1:]), len(text) - 1]
    value: dict[str, object] = {}
    odd = 0
    for member, end in zip(found, ends, strict=True):
        raw = text[member.end() : end].strip()
        part = mended(raw)
        if part is None:
            quotes = [quote.start() for quote in _QUOTE.finditer(raw) if quote[1] is None][1:-1]
            odd += len(quotes) % 2
            part = None if odd > 1 or _separates(raw, quotes) else _quoted(raw)
        if part is None:
            return None
        value[member[1]] = part.value
    return Mended(dump(value), value, ("quotes_repaired",))


def _separates(text: str, quotes: Sequence[int]) -> bool:
    """Whether two of these quotes, which were to be a pair, have between them what stands between strings."""
    pairs = zip(quotes[::2], quotes[1::2], strict=False)
    return any(text[begin + 1 : end].strip(", \t\r\n") == "" for begin, end in pairs if end > begin + 1)


def _quoted(text: str) -> Mended | None:
    """A string with quotes in it."""
    if len(text) < len('""') or text[0] != '"' or text[-1] != '"' or _ANOTHER_MEMBER.search(text):
        return None
    inner = _QUOTE.sub(lambda part: part[1] or '\\"', text[1:-1])
    return mended(f'"{inner}"')


def _repunctuated(body: str, names: Sequence[str]) -> Mended | None:
    """The value with commas and brackets where they belong: nothing that was written changes."""
    text = body.strip()
    if len(text) > MAX_QUOTED or text[:1] not in {"{", "["} or text[-1:] not in {"}", "]"}:
        return None
    written: list[str] = []
    bare = _bare(text, written)
    if bare is None or _are_one("".join(bare), written, names):
        return None
    punctuated = _punctuated(bare)
    if punctuated is None:
        return None
    whole = _STAND_IN.sub(lambda place: written[int(place[1])], punctuated)
    try:
        return Mended(whole, parsed(whole), ("repaired",))
    except ValueError:
        return None


def _punctuated(bare: Sequence[str]) -> str | None:
    """Tokens of JSON with a comma between any two values and none elsewhere, and every bracket closed.

    None if more are closed than were opened.
    """
    pieces: list[str] = []
    closers: list[str] = []
    for piece in bare:
        if piece == ",":
            continue
        if pieces and pieces[-1][0] in '"}]' and piece not in {":", "}", "]"}:
            pieces.append(",")  # a value has ended, and another one begins
        if piece in _CLOSERS:
            closers.append(_CLOSERS[piece])
        elif piece in {"}", "]"}:
            if piece not in closers:
                return None
            while (closer := closers.pop()) != piece:
                pieces.append(closer)
        pieces.append(piece)
    return "".join([*pieces, *reversed(closers)])


def _are_one(bare: str, written: Sequence[str], names: Sequence[str]) -> bool:
    """Whether strings side by side may be one that holds quotes: a comma is missing before a name only, a known one."""
    for number, colon in _SIDE_BY_SIDE.findall(bare):
        name = parsed(written[int(number)])
        if not colon or not name or (names and name not in names):
            return True
    return False


def _bare(text: str, written: list[str]) -> list[str] | None:
    """The tokens of a JSON text, with numbered words in place of all that was written, which is put into `written`.

    None if it holds something that is neither JSON nor nearly so.
    """
    pieces: list[str] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        at = token.end()
        if token.lastgroup == "space":
            continue
        piece = token[0]
        if token.lastgroup != "mark":
            scalar = _scalar(token, "" if not pieces else pieces[-1])
            if scalar is None:
                return None
            piece = f'"k{len(written)}"'
            written.append(scalar)
        pieces.append(piece)
    return pieces


def _scalar(token: re.Match[str], before: str) -> str | None:
    """The JSON text of what stands for a string, a number or a constant; None if that is in doubt."""
    text = token[0]
    if token.lastgroup == "string":
        found = mended(text)
        return None if found is None else found.text
    if before not in _BETWEEN:
        return None
    if token.lastgroup == "single":
        inner = _QUOTE.sub(lambda part: "'" if part[0] == "\\'" else part[1] or '\\"', text[1:-1])
        found = mended(f'"{inner}"')
        return None if found is None else found.text
    if token.lastgroup == "word" and text not in _CONSTANTS:
        return None if text in _UNTOLD else dump(text)
    return dump(_CONSTANTS[text]) if text in _CONSTANTS else text
