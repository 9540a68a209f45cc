"""A request's history as the one user text that Kimi takes; pure.

Kimi keeps the history on its side, so a conversation that it knows is sent only what is new. Without one, the whole
history is laid out in one text: instructions first, earlier messages in marked sections, the last user message last,
where models look for their task. A message can neither close its section nor open another: markers inside it are
broken by a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.request import ChatRequest, Message, Role

_MARKER = re.compile(r"<(?=/?(?:instructions|conversation|message)\b)", re.IGNORECASE)
_WRAPPED = r"<url\b[^<>]*>[^<]*</url>"
_URL = re.compile(_WRAPPED + r"|(?<![A-Za-z0-9_\">=])https?://[^\s<>\"'`，。；：！？、）】》」』\u3000]+")
_TRAILING = ".,;:!?)]}"
_CONTINUE = "Continue the assistant's last message from where it ends."


def compose(request: ChatRequest, *, continued: bool, wrap_urls: bool = False) -> str:
    """The text to send: only what is new to a conversation that is continued, else the whole history.

    `wrap_urls` marks links for the legacy site, which then reads them.
    """
    layout = new_turn if continued else merge
    return layout(request.messages, wrap_urls=wrap_urls)


def merge(messages: Sequence[Message], *, wrap_urls: bool = False) -> str:
    """The whole history as one text."""
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


def new_turn(messages: Sequence[Message], *, wrap_urls: bool = False) -> str:
    """What a conversation that Kimi knows has not heard yet: all after the last assistant message."""
    start = 0
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            start = index + 1
    return merge(messages[start:] or messages[-1:], wrap_urls=wrap_urls)


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
    return _MARKER.sub(r"<\\", text)
