"""Content blocks of Anthropic's messages, made Parts.

The blocks are those of the vendor's API reference and its SDK (anthropic 2.14, `types/beta/*_block_param.py`). What the
vendor's own server has put into an answer (searches, code that it ran) is not sent on: the words that the assistant
made of it stand beside it. Of a block that is unknown here the text is taken. One without text is passed over where
the assistant said it, and refused where a person or a program sends it: a model must not answer as if it had seen it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from app.chat.request import FilePart, Part, TextPart
from app.dialects.attachments import from_base64, from_id, from_url
from app.errors import AttachmentRefused, InvalidRequest

THOUGHTS = ("thinking", "redacted_thinking")  # a tuple, because what is looked for in it may be any JSON value
"""Blocks that are counted, and never sent again."""

_MARKS = ("fallback", "mcp_tool_listing", "tool_removal", "server_tool_use", "mcp_tool_use")
_SERVER_RESULT = "_tool_result"  # web_search_tool_result and its kin; the client's own is `tool_result`
_DOCUMENT_TAG = re.compile(r"<(?=/?document\b)", re.IGNORECASE)
_BROKEN = r"<\\"

Block = tuple[Mapping[str, object], str]
"""A content block, and its place in the body."""


def blocks_of(content: object, place: str, *, optional: bool = False) -> list[Block]:
    """The blocks of a content: one text, or a list; with `optional` there may be none. Raises InvalidRequest."""
    if isinstance(content, str):
        return [({"type": "text", "text": content}, place)]
    if isinstance(content, list):
        return [(object_at(block, f"{place}[{index}]"), f"{place}[{index}]") for index, block in enumerate(content)]
    if content is None and optional:
        return []
    raise InvalidRequest(f"{place} must be a string or a list of content blocks.", param=place)


def object_at(value: object, place: str) -> Mapping[str, object]:
    """A value that has to be an object. Raises InvalidRequest."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    return value


def parts_of(block: Block, *, own: bool = False) -> tuple[Part, ...]:
    """The parts that a block says; none if it says nothing that Kimi is to hear.

    `own` says that the assistant said it. Raises InvalidRequest or AttachmentRefused.
    """
    fields, place = block
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{place}.type must name the kind of the block.", param=f"{place}.type")
    if kind in _READERS:
        return _READERS[kind](fields, place)
    if kind in THOUGHTS or kind in _MARKS or kind.endswith(_SERVER_RESULT):
        return ()
    text = fields.get("text")
    if isinstance(text, str):
        return (TextPart(text),)
    if own:
        return ()
    raise InvalidRequest(f"{place}.type is a kind of block that cannot be served here.", param=f"{place}.type")


def all_parts(content: object, place: str, *, optional: bool = False) -> tuple[Part, ...]:
    """The parts of a content that is not the assistant's. Raises InvalidRequest or AttachmentRefused."""
    return tuple(part for block in blocks_of(content, place, optional=optional) for part in parts_of(block))


def _text(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    return (TextPart(_string(fields, "text", place)),)


def _image(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    return (_attached(fields, place, image=True),)


def _document(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    """A document: text that came with the request stands in the prompt, all else is attached."""
    title, context = fields.get("title"), fields.get("context")
    name = title if isinstance(title, str) else ""
    about = (TextPart(context),) if isinstance(context, str) and context.strip() else ()
    source = object_at(fields.get("source"), f"{place}.source")
    match source.get("type"):
        case "text":
            return (*about, _enclosed(_string(source, "data", f"{place}.source"), name))
        case "content":
            parts = all_parts(source.get("content"), f"{place}.source.content")
            texts = [part.text for part in parts if isinstance(part, TextPart)]
            others = (part for part in parts if not isinstance(part, TextPart))
            return (*about, _enclosed("\n".join(texts), name), *others)
        case _:
            return (*about, _attached(fields, place, name=_file_name(name)))


def _search_result(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    """A page that the client found by itself."""
    head = [text for text in (fields.get("title"), fields.get("source")) if isinstance(text, str)]
    parts = all_parts(fields.get("content"), f"{place}.content", optional=True)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return (TextPart("\n".join([*head, *texts])),)


def _upload(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    """A file for the vendor's code execution: Kimi can read it all the same."""
    return (from_id(_string(fields, "file_id", place), place),)


def _tool_reference(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    """What a search among tools has found; the tools themselves have been told of, those to be loaded later too."""
    return (TextPart(_string(fields, "tool_name", place)),)


def _summary(fields: Mapping[str, object], _place: str) -> tuple[Part, ...]:
    """What the vendor made of a long history; null where it failed."""
    content = fields.get("content")
    return (TextPart(content),) if isinstance(content, str) else ()


def _tool_addition(fields: Mapping[str, object], place: str) -> tuple[Part, ...]:
    """One of the tools is to be used from here on: it has been told of from the beginning."""
    if object_at(fields.get("tool"), f"{place}.tool").get("type") == "tool_definition":
        raise InvalidRequest("Tools are taken from the list `tools` alone.", param=f"{place}.tool")
    return ()


_READERS: dict[str, Callable[[Mapping[str, object], str], tuple[Part, ...]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "container_upload": _upload,
    "tool_reference": _tool_reference,
    "compaction": _summary,
    "tool_addition": _tool_addition,
}


def _attached(fields: Mapping[str, object], place: str, *, name: str | None = None, image: bool = False) -> FilePart:
    """The file that a block's `source` leads to. Errors of the file itself name the block."""
    source = object_at(fields.get("source"), f"{place}.source")
    match source.get("type"):
        case "base64":
            media_type = source.get("media_type")
            return from_base64(
                _string(source, "data", f"{place}.source"),
                place,
                name=name,
                media_type=media_type if isinstance(media_type, str) else None,
                image=image,
            )
        case "url":
            return from_url(_string(source, "url", f"{place}.source"), place, name=name, image=image)
        case "file":
            return from_id(_string(source, "file_id", f"{place}.source"), place, image=image)
        case _:
            raise AttachmentRefused(f"{place}.source.type must be base64, url or file.", param=f"{place}.source.type")


def _enclosed(text: str, title: str) -> TextPart:
    """A document's text, told from what is said about it."""
    name = " ".join(title.replace("\\", "").replace('"', "'").replace("<", "(").replace(">", ")").split())
    head = f'<document title="{name}">' if name else "<document>"
    return TextPart(f"{head}\n{_DOCUMENT_TAG.sub(_BROKEN, text)}\n</document>")


def _file_name(title: str) -> str | None:
    """A title as the name of a file; None where nothing is left of it."""
    return "".join(_fit_for_names(title)).strip(". ") or None


def _fit_for_names(title: str) -> Iterator[str]:
    for character in title:
        yield "-" if character in "/\\" else character if character.isprintable() else " "


def _string(fields: Mapping[str, object], name: str, place: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{place}.{name} must be a string.", param=f"{place}.{name}")
    return value
