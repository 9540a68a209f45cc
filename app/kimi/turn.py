"""A request's history as the one user text that Kimi takes; pure.

Kimi keeps the history on its side, so a conversation that it knows is sent only what is new. Without one, the whole
history is laid out in one text: instructions first, earlier messages in marked sections, the last user message last,
where models look for their task. A message can neither close its section nor open another: markers inside it are
broken by a backslash. Calls of tools and their results stand in marks that nobody else can write (toolcalls/marks.py),
so that what a tool has said can stay as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.chat.request import Message, Role, latest
from app.toolcalls.prompt import Guide

PROMPT_FILE = "prompt.txt"
"""The name of the file that a prompt is moved to which is too long for one message."""

MAX_REPEATED = 4000
"""Characters of a last message that still stands beside the file which it is moved to."""

_MARKER = re.compile(r"<(?=/?(?:instructions|tools|conversation|message)\b)", re.IGNORECASE)
_FILE_MARKER = re.compile(r"<(?=/?file\b)", re.IGNORECASE)
_BROKEN = r"<\\"
_WRAPPED = r"<url\b[^<>]*>[^<]*</url>"
_URL = re.compile(_WRAPPED + r"|(?<![A-Za-z0-9_\">=])https?://[^\s<>\"'`，。；：！？、）】》」』\u3000]+")
_TRAILING = ".,;:!?)]}"
NO_GUIDE = Guide()
"""There are no tools, and the answer may have any form."""

_CONTINUE = "Continue the assistant's last message from where it ends."


@dataclass(frozen=True, slots=True)
class Turn:
    """What is sent for one turn: the user text, and the ids of files on Kimi's side that go with it."""

    text: str = field(repr=False)
    files: tuple[str, ...] = ()


def moved(messages: Sequence[Message], guide: Guide = NO_GUIDE) -> str:
    """What is sent in place of a prompt that has been moved to PROMPT_FILE.

    A last message that is short is repeated, because models look for their task in the message itself.
    """
    told = (
        f"The attached file {PROMPT_FILE} is my message to you: it was too long to be sent otherwise. Read all of it, "
        "follow it, and answer what stands at its end. Do not speak of the file itself."
    )
    last = latest(messages)
    if last.role is Role.USER and last.text.strip() and len(last.text) <= MAX_REPEATED:
        told = f"{told} It ends with these words:\n\n{guide.guarded(last.text)}"
    return f"{told}\n\n{guide.closing}" if guide.closing else told


def inlined(name: str, text: str) -> str:
    """A document that is part of the text."""
    title = name.replace("\\", "").replace('"', "'").replace("<", "(").replace(">", ")")
    return f'<file name="{title}">\n{_FILE_MARKER.sub(_BROKEN, text)}\n</file>'


def merge(messages: Sequence[Message], *, wrap_urls: bool = False, guide: Guide = NO_GUIDE) -> str:
    """These messages as one text: the whole history, or what is new to a conversation that Kimi knows.

    `wrap_urls` marks links for the legacy site, which then reads them. `guide` tells of tools, and writes calls and
    results. Attachments are not of the text: what is to be said of them stands in text parts.
    """
    if wrap_urls:
        messages = [_wrapped(message) for message in messages]
    system = [message for message in messages if message.role is Role.SYSTEM]
    turns = [message for message in messages if message.role is not Role.SYSTEM]
    start = _last_turn(turns)
    earlier, last = turns[:start], turns[start:]
    if not last:
        # The client begins the answer itself, or says nothing as a user at all.
        last = [_text_message(_CONTINUE if turns else "")]
    sections: list[str] = []
    if system:
        text = "\n\n".join(_guarded(message.text, guide) for message in system)
        sections.append(f"<instructions>\n{text}\n</instructions>")
    if guide.section:
        sections.append(f"<tools>\n{guide.section}\n</tools>")
    if earlier:
        lines = [_section(message, guide) for message in earlier]
        sections.append("<conversation>\n" + "\n".join(lines) + "\n</conversation>")
    if not sections and len(last) == 1 and last[0].role is Role.USER:
        sections.append(guide.guarded(last[0].text))  # nothing around it that it could be taken for
    else:
        sections += [_said(message, guide) for message in last]
    return "\n\n".join(section for section in [*sections, guide.closing] if section)


def _last_turn(turns: Sequence[Message]) -> int:
    """Where what is to be answered begins: the last message, or the results of tools with what stands behind them."""
    start = len(turns)
    if turns and turns[-1].role in {Role.USER, Role.TOOL}:
        start -= 1
        while start > 0 and turns[start - 1].role is Role.TOOL:
            start -= 1
    return start


def wrap_links(text: str) -> str:
    """Mark links as the legacy site's own page does, so that the model is given what they lead to (protocol.md A4)."""

    def wrapped(match: re.Match[str]) -> str:
        if match[0].startswith("<"):
            return match[0]
        url = match[0].rstrip(_TRAILING)
        tail = match[0][len(url) :]
        return f'<url id="" type="url" status="" title="" wc="">{url}</url>{tail}'

    return _URL.sub(wrapped, text)


def _wrapped(message: Message) -> Message:
    if message.role is not Role.USER:
        return message
    return _text_message(wrap_links(message.text))


def _text_message(text: str) -> Message:
    return Message.of(Role.USER, text)


def _section(message: Message, guide: Guide) -> str:
    return f'<message role="{message.role.value}">\n{_said(message, guide)}\n</message>'


def _said(message: Message, guide: Guide) -> str:
    """A message's words, with its calls behind them; a result as it stands."""
    if message.role is Role.TOOL and guide.marks is not None:
        return guide.result(message)
    parts = (_guarded(message.text, guide), guide.calls(message))
    return "\n".join(part for part in parts if part)


def _guarded(text: str, guide: Guide) -> str:
    return guide.guarded(_MARKER.sub(_BROKEN, text))
