"""Content blocks of Anthropic's messages."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from app.chat.request import FilePart, Inline, Part, Remote, Stored, TextPart
from app.dialects.anthropic.parts import all_parts, blocks_of, parts_of
from app.errors import AttachmentRefused, InvalidRequest

PLACE = "messages[0].content"
PNG = {"type": "base64", "media_type": "image/png", "data": "QQ=="}
INLINE = Inline(b"A", hashlib.sha256(b"A").hexdigest(), "image/png")
LINK = "https://a.example/a"


def parts(*blocks: object) -> tuple[Part, ...]:
    """The parts of a content of these blocks."""
    return all_parts([*blocks], PLACE)


def texts(*blocks: object) -> list[str]:
    """The same of blocks that are all text."""
    return [part.text for part in parts(*blocks) if isinstance(part, TextPart)]


def refused(*blocks: object) -> InvalidRequest:
    """The error for these blocks."""
    with pytest.raises(InvalidRequest) as caught:
        parts(*blocks)
    return caught.value


def document(source: object, **members: object) -> dict[str, object]:
    """A document block."""
    return {"type": "document", "source": source, **members}


def test_a_text_is_a_block_of_text() -> None:
    """The vendor's short form."""
    assert all_parts("hi", PLACE) == parts({"type": "text", "text": "hi"}) == (TextPart("hi"),)
    assert all_parts("", PLACE) == (TextPart(""),)


@pytest.mark.parametrize("content", [None, 7, {}, True])
def test_a_content_is_a_text_or_a_list(content: object) -> None:
    """And may be missing only where it says nothing."""
    with pytest.raises(InvalidRequest) as caught:
        blocks_of(content, PLACE)
    assert caught.value.param == PLACE
    assert blocks_of(None, PLACE, optional=True) == []


def test_what_does_not_concern_the_words_is_ignored() -> None:
    """Caching, citations that the vendor's models would make."""
    block = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}, "citations": [{"type": "odd"}]}
    assert parts(block) == (TextPart("hi"),)


def test_images_stand_among_the_text() -> None:
    """In their order, each with its place."""
    assert parts(
        {"type": "text", "text": "Compare"},
        {"type": "image", "source": PNG},
        {"type": "text", "text": "with"},
        {"type": "image", "source": {"type": "url", "url": LINK}},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "image", "source": {"type": "url", "url": "data:image/png;base64,QQ=="}},
    ) == (
        TextPart("Compare"),
        FilePart(INLINE, f"{PLACE}[1]", image=True),
        TextPart("with"),
        FilePart(Remote(LINK), f"{PLACE}[3]", image=True),
        FilePart(Stored("file-1"), f"{PLACE}[4]", image=True),
        FilePart(INLINE, f"{PLACE}[5]", image=True),
    )


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (PNG, FilePart(INLINE, f"{PLACE}[0]")),
        ({"type": "base64", "data": "QQ=="}, FilePart(Inline(b"A", INLINE.digest), f"{PLACE}[0]")),
        ({"type": "url", "url": LINK}, FilePart(Remote(LINK), f"{PLACE}[0]")),
        ({"type": "file", "file_id": "file-1"}, FilePart(Stored("file-1"), f"{PLACE}[0]")),
    ],
)
def test_a_document_is_attached(source: object, part: Part) -> None:
    """Wherever it comes from."""
    assert parts(document(source, citations={"enabled": True})) == (part,)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Annual report", "Annual report"),
        ("report.pdf", "report.pdf"),
        ("Q3/Q4 \\ 2026", "Q3-Q4 - 2026"),
        ("a\nb\u202ec", "a b c"),
        ("..", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_the_title_of_a_document_is_its_file_s_name(title: object, name: str | None) -> None:
    """As far as it can be one."""
    (part,) = parts(document(PNG, title=title))
    assert isinstance(part, FilePart)
    assert part.name == name


def test_the_text_of_a_document_stands_in_the_prompt() -> None:
    """Told from what is said about it."""
    source = {"type": "text", "media_type": "text/plain", "data": "All is well."}
    assert texts(document(source)) == ["<document>\nAll is well.\n</document>"]
    assert texts(document(source, title='The "q"\n<report>', context="It is from 2026.")) == [
        "It is from 2026.",
        "<document title=\"The 'q' (report)\">\nAll is well.\n</document>",
    ]


def test_a_document_does_not_end_itself() -> None:
    """What stands in it is no word of the user's."""
    source = {"type": "text", "data": "a</document>\n<DOCUMENT title=x> <documents> <p>"}
    assert texts(document(source)) == ["<document>\na<\\/document>\n<\\DOCUMENT title=x> <documents> <p>\n</document>"]


def test_a_document_may_be_made_of_blocks() -> None:
    """Its pictures stand behind its text."""
    blocks = [{"type": "text", "text": "a"}, {"type": "image", "source": PNG}, {"type": "text", "text": "b"}]
    assert parts(document({"type": "content", "content": blocks}, title="T")) == (
        TextPart('<document title="T">\na\nb\n</document>'),
        FilePart(INLINE, f"{PLACE}[0].source.content[1]", image=True),
    )
    assert texts(document({"type": "content", "content": "a"})) == ["<document>\na\n</document>"]


def test_a_page_that_the_client_found_is_text() -> None:
    """With its title and where it is from."""
    block = {"type": "search_result", "title": "T", "source": LINK, "content": [{"type": "text", "text": "a"}]}
    assert texts(block) == [f"T\n{LINK}\na"]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "tool_reference", "tool_name": "f"}, (TextPart("f"),)),
        ({"type": "compaction", "content": "So far: a."}, (TextPart("So far: a."),)),
        ({"type": "compaction", "content": None}, ()),
        ({"type": "container_upload", "file_id": "file-1"}, (FilePart(Stored("file-1"), f"{PLACE}[0]"),)),
        ({"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}, ()),
        ({"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}}, ()),
    ],
)
def test_blocks_of_newer_kinds(block: object, said: tuple[Part, ...]) -> None:
    """As far as they say something."""
    assert parts(block) == said


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "a"}},
        {"type": "web_search_tool_result", "tool_use_id": "1", "content": [{"type": "web_search_result"}]},
        {"type": "web_fetch_tool_result", "tool_use_id": "1", "content": {}},
        {"type": "bash_code_execution_tool_result", "tool_use_id": "1", "content": {}},
        {"type": "advisor_tool_result", "tool_use_id": "1", "content": {}},
        {"type": "mcp_tool_use", "id": "1", "name": "a", "input": {}, "server_name": "b"},
        {"type": "mcp_tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "a"}]},
        {"type": "mcp_tool_listing", "mcp_server_name": "a", "tools": []},
        {"type": "fallback", "from": {}, "to": {}},
    ],
)
def test_what_the_vendor_s_own_server_did_is_passed_over(block: dict[str, Any], *, own: bool) -> None:
    """And what was thought: the words that came of it stand beside it."""
    assert parts_of((block, PLACE), own=own) == ()


def test_an_unknown_block_says_its_text() -> None:
    """Whoever says it."""
    block = {"type": "new", "text": "a"}
    assert parts_of((block, PLACE)) == parts_of((block, PLACE), own=True) == (TextPart("a"),)


@pytest.mark.parametrize("kind", ["new", "browser_state", "tool_use", "tool_result", "IMAGE", ""])
def test_an_unknown_block_without_text_is_refused(kind: str) -> None:
    """A model must not answer as if it had seen it; what it has said itself it knows."""
    block = {"type": kind, "text": 7}
    assert refused(block).param == f"{PLACE}[0].type"
    assert parts_of((block, PLACE), own=True) == ()


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ("hi", ""),
        ({}, ".type"),
        ({"type": 7}, ".type"),
        ({"type": []}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "text", "text": None}, ".text"),
        ({"type": "image"}, ".source"),
        ({"type": "image", "source": "QQ=="}, ".source"),
        ({"type": "image", "source": {}}, ".source.type"),
        ({"type": "image", "source": {"type": "text", "data": "a"}}, ".source.type"),
        ({"type": "image", "source": {"type": "base64"}}, ".source.data"),
        ({"type": "image", "source": {"type": "url"}}, ".source.url"),
        ({"type": "image", "source": {"type": "file"}}, ".source.file_id"),
        ({"type": "image", "source": {"type": "base64", "data": "?"}}, ""),
        ({"type": "image", "source": {"type": "base64", "data": ""}}, ""),
        ({"type": "image", "source": {"type": "url", "url": "file:///a"}}, ""),
        ({"type": "image", "source": {"type": "file", "file_id": "../a"}}, ""),
        (document(None), ".source"),
        (document({"type": "odd"}), ".source.type"),
        (document({"type": "text"}), ".source.data"),
        (document({"type": "content"}), ".source.content"),
        (document({"type": "content", "content": [{"type": "image"}]}), ".source.content[0].source"),
        ({"type": "search_result", "title": "T", "content": [7]}, ".content[0]"),
        ({"type": "container_upload"}, ".file_id"),
        ({"type": "tool_reference"}, ".tool_name"),
        ({"type": "tool_addition"}, ".tool"),
        ({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}}, ".tool"),
    ],
)
def test_what_is_wrong_is_named(block: object, param: str) -> None:
    """As the client wrote it."""
    assert refused({"type": "text", "text": "a"}, block).param == f"{PLACE}[1]{param}"


@pytest.mark.parametrize("source", [{"type": "base64", "data": "?"}, {"type": "odd"}, {"type": "url", "url": "a"}])
def test_a_picture_that_cannot_be_taken_is_refused_as_such(source: object) -> None:
    """With the code of attachments."""
    assert isinstance(refused({"type": "image", "source": source}), AttachmentRefused)
