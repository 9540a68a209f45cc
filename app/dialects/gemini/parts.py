"""The parts of a content, each one thing that is said: text, bytes, a file, a call, the result of a call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from app.attachments.intake import cleaned_name
from app.chat.request import FilePart, Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from app.dialects.attachments import from_base64, from_id, from_url
from app.dialects.gemini.spelling import Members
from app.errors import AttachmentRefused, InvalidRequest

Said = Part | Message
"""What a part says; the result of a call is a message of its own."""

_UNHEARD = re.compile(r"(?:audio|video)/", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_YOUTUBE = re.compile(r"https?://(?:[a-z]+\.)?(?:youtube(?:-nocookie)?\.com|youtu\.be)(?=[/:?#]|\Z)", re.IGNORECASE)
_GOOGLE_FILES = re.compile(r"https?://generativelanguage\.googleapis\.com(?=[/:?#]|\Z)", re.IGNORECASE)

_ALONE = ("output", "result", "error", "content", "return_value")
"""Members of a response that are its text where nothing stands beside them: those of the API
(FunctionResponse.response), and what litellm and pydantic-ai write."""

_SILENT = ("thought", "thoughtSignature", "toolCall", "toolResponse", "partMetadata")
"""What Google's own models leave in a history, and nobody else can read."""


def said(part: Members) -> Said | None:
    """What a part says, None for one that says nothing. Raises InvalidRequest or AttachmentRefused."""
    for name, read in _KINDS.items():
        if name in part:
            return read(part)
    if any(name in part for name in _SILENT):
        return None
    raise InvalidRequest(f"{part.place} must have one of {', '.join(_KINDS)}.", param=part.place)


def _text(part: Members) -> Said | None:
    text = part.text("text")
    return TextPart(text) if text else None


def _call(part: Members) -> Said:
    call = Members.of(part.get("functionCall"), part.at("functionCall"))
    name, args = call.text("name"), call.get("args")
    if not name:
        raise InvalidRequest(f"{call.at('name')} must be the name of a function.", param=call.at("name"))
    if not isinstance(args, dict | None):
        raise InvalidRequest(f"{call.at('args')} must be an object.", param=call.at("args"))
    return ToolCallPart(call.text("id") or "", name, json.dumps(args or {}, ensure_ascii=False))


def _result(part: Members) -> Said:
    """The message of a result: what it answers, its text, and the files that came with it."""
    result = Members.of(part.get("functionResponse"), part.at("functionResponse"))
    text, failed = _told(result.get("response"), result.text("name"))
    answers = ToolResultPart(result.text("id") or None, result.text("name") or None, failed=failed)
    parts: list[Part] = [answers, TextPart(text)]
    for enclosed in result.objects("parts"):
        kind = next((name for name in _ENCLOSED if name in enclosed), None)
        if kind is None:
            raise InvalidRequest(f"{enclosed.place} must have inlineData or fileData.", param=enclosed.place)
        parts.append(_ENCLOSED[kind](enclosed))
    return Message(Role.TOOL, tuple(parts))


def _told(response: object, function: str | None) -> tuple[str, bool]:
    """What a function said, and whether that is an error; @ai-sdk/google puts its name beside its words."""
    if response is None:
        return "", False
    if not isinstance(response, dict):
        return _written(response), False
    if function is not None and response.keys() == {"name", "content"} and response["name"] == function:
        return _written(response["content"]), False
    failed = bool(response.get("error"))
    alone = next((name for name in _ALONE if response.keys() == {name}), None)
    return _written(response if alone is None else response[alone]), failed


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _inline(part: Members) -> FilePart:
    blob = Members.of(part.get("inlineData"), part.at("inlineData"))
    kind, data, name = blob.text("mimeType"), blob.text("data"), blob.text("displayName")
    _check_kind(kind, blob.place)
    if data is None:
        raise AttachmentRefused(f"{blob.at('data')} is missing.", param=blob.place)
    return from_base64(data, blob.place, name=cleaned_name(name), media_type=kind or None, image=_is_image(kind))


def _file(part: Members) -> FilePart:
    """A file behind a URL, or one that was uploaded to this gateway, as `files/ID` or by its bare id."""
    file = Members.of(part.get("fileData"), part.at("fileData"))
    kind, uri, name = file.text("mimeType"), file.text("fileUri"), file.text("displayName")
    if not uri:
        raise AttachmentRefused(f"{file.at('fileUri')} is missing.", param=file.place)
    if _YOUTUBE.match(uri):
        raise AttachmentRefused("Kimi cannot watch a video of YouTube's.", param=file.place)
    if _GOOGLE_FILES.match(uri):
        raise AttachmentRefused(
            "Google's files cannot be read from here: upload it to /v1/files, or send a URL or the bytes.",
            param=file.place,
        )
    _check_kind(kind, file.place)
    if uri[:8].lower().startswith(("http://", "https://", "data:")):
        return from_url(uri, file.place, name=cleaned_name(name), image=_is_image(kind))
    if _SCHEME.match(uri):
        raise AttachmentRefused(f"{file.at('fileUri')} must be a URL or files/ID.", param=file.place)
    return from_id(uri.removeprefix("files/"), file.place, image=_is_image(kind))


def _check_kind(kind: str | None, place: str) -> None:
    if kind is not None and _UNHEARD.match(kind):
        raise AttachmentRefused("Kimi takes images and documents, no sound and no video.", param=place)


def _is_image(kind: str | None) -> bool:
    return kind is not None and kind.lower().startswith("image/")


def _code(part: Members) -> Said:
    """Code that Google's model had run in an earlier turn."""
    code = Members.of(part.get("executableCode"), part.at("executableCode"))
    return TextPart(f"\n```{(code.word('language') or '').lower()}\n{code.text('code') or ''}\n```\n")


def _outcome(part: Members) -> Said:
    outcome = Members.of(part.get("codeExecutionResult"), part.at("codeExecutionResult"))
    return TextPart(f"\n```\n{outcome.text('output') or ''}\n```\n")


_ENCLOSED: dict[str, Callable[[Members], FilePart]] = {"inlineData": _inline, "fileData": _file}

_KINDS: dict[str, Callable[[Members], Said | None]] = {
    "text": _text,
    **_ENCLOSED,
    "functionCall": _call,
    "functionResponse": _result,
    "executableCode": _code,
    "codeExecutionResult": _outcome,
}
