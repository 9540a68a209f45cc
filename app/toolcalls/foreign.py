"""Calls in the marks of others: models fall back to those that they were trained on.

Known are Kimi's own of K2 (the section in plural and singular, and none at all) and K3, and those of Hermes, which many
models know. Whether a block is a call is decided when it is whole; what it is otherwise, who reads it decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.toolcalls.repair import dump, parsed


@dataclass(frozen=True, slots=True)
class Block:
    """How a block of one dialect begins and ends, and the calls in it: pairs of a name and the text of its arguments.

    `calls` raises ValueError for what it cannot read. `first` are the characters that may stand first in it, any if
    that is empty. `special` says that the marks are a model's tokens, which never are text, `json` that there is one
    JSON value in it and nothing else: an end that stands in one of its strings is none.
    """

    dialect: str
    begins: str
    ends: tuple[str, ...]
    calls: Callable[[str], list[tuple[str, str]]]
    first: str = ""
    special: bool = True
    json: bool = False


_K2_BEGIN, _K2_BODY, _K2_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_K3_SEP = "<|sep|>"
_ATTRIBUTE = re.compile(r'(?<![a-z_])([a-z_]++)="([^"]*)"')


def _k2(text: str) -> list[tuple[str, str]]:
    """`<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}<|tool_call_end|>`, any number of them."""
    found = _Pieces(text)
    calls = []
    while found.skip(_K2_BEGIN):
        name = found.upto(_K2_BODY).strip()
        calls.append((name, found.upto(_K2_END)))
    return calls


def _k3(text: str) -> list[tuple[str, str]]:
    """`<|open|>call tool="NAME" index="1"<|sep|>` arguments `<|close|>call<|sep|>`, any number of them.

    An argument is `<|open|>argument key="K" type="T"<|sep|>` value `<|close|>argument<|sep|>`: a string stands as it
    is, all else as JSON.
    """
    found = _Pieces(text)
    calls = []
    while found.skip("<|open|>call "):
        name = dict(_ATTRIBUTE.findall(found.upto(_K3_SEP))).get("tool", "")
        inside = _Pieces(found.upto("<|close|>call<|sep|>"))
        values: dict[str, object] = {}
        while inside.skip("<|open|>argument "):
            head = dict(_ATTRIBUTE.findall(inside.upto(_K3_SEP)))
            raw = inside.upto("<|close|>argument<|sep|>")
            values[head.get("key", "")] = raw if head.get("type", "string") == "string" else parsed(raw)
        calls.append((name, dump(values)))
    return calls


class _Pieces:
    """Takes a text apart from left to right, looking at each character once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def skip(self, literal: str) -> bool:
        """Go behind the next such literal; False if there is none."""
        place = self._text.find(literal, self._at)
        if place >= 0:
            self._at = place + len(literal)
        return place >= 0

    def upto(self, literal: str) -> str:
        """What stands before the next such literal; raises ValueError if there is none."""
        place = self._text.index(literal, self._at)
        piece, self._at = self._text[self._at : place], place + len(literal)
        return piece


def _hermes(text: str) -> list[tuple[str, str]]:
    inner = text.removeprefix("<tool_call>").removesuffix("</tool_call>").strip()
    value = parsed(inner, strict=False)
    call = value if isinstance(value, dict) else {}
    name, arguments = call.get("name"), call.get("arguments", call.get("parameters", {}))
    if not name:
        raise ValueError("no call")
    return [(str(name), arguments if isinstance(arguments, str) else dump(arguments))]


BLOCKS = (
    Block(
        "k2",
        "<|tool_calls_section_begin|>",
        ("<|tool_calls_section_end|>", "<|tool_call_section_end|>"),
        _k2,
        first="<",
    ),
    Block(
        "k2",
        "<|tool_call_section_begin|>",
        ("<|tool_call_section_end|>", "<|tool_calls_section_end|>"),
        _k2,
        first="<",
    ),
    Block("k2", "<|tool_call_begin|>", ("<|tool_call_end|>",), _k2),
    Block("k3", "<|open|>tools<|sep|>", ("<|close|>tools<|sep|>",), _k3, first="<"),
    Block("k3", "<|open|>call ", ("<|close|>call<|sep|>",), _k3),
    Block("hermes", "<tool_call>", ("</tool_call>",), _hermes, first="{", special=False, json=True),
)

SPECIAL = (
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_section_begin|>",
    "<|tool_call_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<|open|>",
    "<|close|>",
    "<|sep|>",
)
"""Tokens of the models, which say nothing to a person where they stand in an answer."""

LITERALS = tuple({*SPECIAL, *(block.begins for block in BLOCKS)})
