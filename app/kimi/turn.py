"""A request's history as the one user text that Kimi takes; pure.

Kimi keeps the history on its side, so a conversation that it knows is sent only what is new. Without one, the whole
history is laid out in one text: instructions first, earlier messages in marked sections, the last user message last,
where models look for their task. A message can neither close its section nor open another: markers inside it are
broken by a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.chat.request import Message, Role

PROMPT_FILE = "prompt.txt"
"""The name of the file that a prompt is moved to which is too long for one message."""

MAX_REPEATED = 4000
"""Characters of a last message that still stands beside the file which it is moved to."""

_MARKER = re.compile(r"<(?=/?(?:instructions|conversation|message)\b)", re.IGNORECASE)
_FILE_MARKER = re.compile(r"<(?=/?file\b)", re.IGNORECASE)
_BROKEN = r"<\\"
_WRAPPED = r"<url\b[^<>]*>[^<]*</url>"
_URL = re.compile(_WRAPPED + r"|(?<![A-Za-z0-9_\">=])https?://[^\s<>\"'`，。；：！？、）】》」』\u3000]+")
_TRAILING = ".,;:!?)]}"
_CONTINUE = "Continue the assistant's last message from where it ends."


@dataclass(frozen=True, slots=True)
class Turn:
    """What is sent for one turn: the user text, and the ids of files on Kimi's side that go with it."""

    text: str = field(repr=False)
    files: tuple[str, ...] = ()


def moved(messages: Sequence[Message]) -> str:
    """What is sent in place of a prompt that has been moved to PROMPT_FILE.

    A last message that is short is repeated, because models look for their task in the message itself.
    """
    told = (
        f"The attached file {PROMPT_FILE} is my message to you: it was too long to be sent otherwise. Read all of it, "
        "follow it, and answer what stands at its end. Do not speak of the file itself."
    )
    last = messages[-1]
    if last.role is Role.USER and last.text.strip() and len(last.text) <= MAX_REPEATED:
        return f"{told} It ends with these words:\n\n{last.text}"
    return told


def inlined(name: str, text: str) -> str:
    """A document that is part of the text."""
    title = name.replace("\\", "").replace('"', "'").replace("<", "(").replace(">", ")")
    return f'<file name="{title}">\n{_FILE_MARKER.sub(_BROKEN, text)}\n</file>'


def merge(messages: Sequence[Message], *, wrap_urls: bool = False) -> str:
    """These messages as one text: the whole history, or what is new to a conversation that Kimi knows.

    `wrap_urls` marks links for the legacy site, which then reads them. Attachments are not of the text: what is to be
    said of them stands in text parts.
    """
    if wrap_urls:
        messages = [_wrapped(message) for message in messages]
    system = [message for message in messages if message.role is Role.SYSTEM]
    turns = [message for message in messages if message.role is not Role.SYSTEM]
    if turns and turns[-1].role in {Role.USER, Role.TOOL}:
        earlier, last = turns[:-1], turns[-1]
    else:
        # The client begins the answer itself, or says nothing as a user at all.
        earlier, last = turns, _text_message(_CONTINUE if turns else "")
    if not system and not earlier:
        return last.text
    sections: list[str] = []
    if system:
        text = "\n\n".join(_guarded(message.text) for message in system)
        sections.append(f"<instructions>\n{text}\n</instructions>")
    if earlier:
        lines = [_section(message) for message in earlier]
        sections.append("<conversation>\n" + "\n".join(lines) + "\n</conversation>")
    sections.append(_guarded(last.text) if last.role is Role.USER else _section(last))
    return "\n\n".join(section for section in sections if section)


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


def _section(message: Message) -> str:
    return f'<message role="{message.role.value}">\n{_guarded(message.text)}\n</message>'


def _guarded(text: str) -> str:
    return _MARKER.sub(_BROKEN, text)
