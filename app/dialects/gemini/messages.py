"""The contents of a request, made messages.

A client that was streamed to gives back what the model said in as many contents as there were chunks (chats.py of
google-genai), so those in a row are one message, and their texts go together as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from app.chat.request import Message, Part, Role, TextPart, ToolCallPart
from app.dialects.gemini.parts import said
from app.dialects.gemini.spelling import Members, listed
from app.dialects.wishes import MAX_MESSAGES
from app.errors import InvalidRequest

_ROLES = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.TOOL, "tool": Role.TOOL}
"""Whoever speaks without saying so is the user, as at Google; only their parts tell function and user apart."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a request tells: the messages, and what the model had thought, which Kimi is not told again."""

    messages: tuple[Message, ...]
    thoughts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Content:
    """What one content says."""

    parts: list[Part] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)


class _History:
    """Messages as they are gathered; what the model says in a row is put together when somebody else speaks."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self._run: list[Part] = []
        self._results: set[Message] = set()

    def add(self, content: _Content, *, is_model: bool) -> None:
        """Go on with a content; its results stand before all else that it says."""
        results = list(self._not_told(content.results))
        if results or (content.parts and not is_model):
            self._end_run()
        self._messages += results
        if is_model:
            self._run += content.parts
        elif content.parts:
            self._messages.append(Message(Role.USER, tuple(content.parts)))

    def messages(self) -> tuple[Message, ...]:
        """All of them."""
        self._end_run()
        return tuple(self._messages)

    def _not_told(self, results: list[Message]) -> Iterator[Message]:
        """Results without those that have been told: gemini-cli (0.61) repeats each when it resumes a session."""
        for result in results:
            if result in self._results:
                continue
            if result.answers is not None and result.answers.call_id is not None:
                self._results.add(result)
            yield result

    def _end_run(self) -> None:
        if self._run:
            self._messages.append(Message(Role.ASSISTANT, tuple(_joined(self._run))))
            self._run = []


def told(contents: object, place: str, system: object = None, system_place: str = "") -> Told:
    """What contents tell, and before them the instruction of the system.

    Contents are a list, one content, or one text. Raises InvalidRequest or AttachmentRefused.
    """
    if contents is None or contents in ([], ""):
        raise InvalidRequest(f"{place} must hold at least one content.", param=place)
    history = _History([] if system is None else _instruction(system, system_place))
    thoughts: list[str] = []
    for index, item in enumerate(listed(contents)):
        is_model, content = _content(item, f"{place}[{index}]" if isinstance(contents, list) else place)
        history.add(content, is_model=is_model)
        thoughts += content.thoughts
    messages = history.messages()
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(f"{place} must hold at most {MAX_MESSAGES} messages.", param=place)
    return Told(messages, tuple(thoughts))


def _instruction(value: object, place: str) -> list[Message]:
    """The message of the system; its role says nothing, and Google's clients write what they like there."""
    content = _read(_parts(value, place), calls=False)
    return [Message(Role.SYSTEM, tuple(content.parts))] if content.parts else []


def _content(item: object, place: str) -> tuple[bool, _Content]:
    """Whether the model speaks, and what is said."""
    is_model = False
    if isinstance(item, dict):
        content = Members(item, place)
        name = content.text("role") or "user"
        role = _ROLES.get(name.lower())
        if role is None:
            raise InvalidRequest(f"{content.at('role')} must be user or model.", param=content.at("role"))
        is_model = role is Role.ASSISTANT
    return is_model, _read(_parts(item, place), calls=is_model)


def _parts(value: object, place: str) -> list[Members]:
    """The parts of a content: a list, one part, or a text, which may also stand in the place of the content."""
    if isinstance(value, dict):
        content = Members(value, place)
        value, place = content.get("parts"), content.at("parts")
    if value is None:
        return []
    parts = []
    for index, part in enumerate(listed(value)):
        at = f"{place}[{index}]" if isinstance(value, list) else place
        parts.append(Members.of({"text": part} if isinstance(part, str) else part, at))
    return parts


def _read(parts: list[Members], *, calls: bool) -> _Content:
    content = _Content()
    for part in parts:
        if part.get("thought") is True and "text" in part:
            content.thoughts.append(part.text("text") or "")
            continue
        match said(part):
            case None:
                pass
            case Message() as result:
                content.results.append(result)
            case ToolCallPart() if not calls:
                at = part.at("functionCall")
                raise InvalidRequest(f"{at} must stand in a content whose role is model.", param=at)
            case said_part:
                content.parts.append(said_part)
    return content


def _joined(parts: list[Part]) -> Iterator[Part]:
    """The parts with texts that follow each other put together."""
    for are_texts, run in groupby(parts, lambda part: isinstance(part, TextPart)):
        if are_texts:
            yield TextPart("".join(part.text for part in run if isinstance(part, TextPart)))
        else:
            yield from run
