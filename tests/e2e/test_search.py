"""Web search: annotations with true places, a list of sources where it was asked for, and never a marker."""

import re
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.support import Door

pytestmark = pytest.mark.e2e

ONE = {"title": "Water", "url": "https://example.com/one", "siteName": "example.com", "snippet": "Wet."}
TWO = {"title": "Sky", "url": "https://example.com/two", "siteName": "example.com", "snippet": "Blue."}
TEXT = "水 is wet 🌊{{cite:0}} and the sky is blue{{cite:1}}."
BARE = "水 is wet 🌊 and the sky is blue."
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Is water wet?"}]
MARKER = re.compile("[\ue000-\uf8ff\U0001f6e0\U0001f3a8]|\\[\\^|cite|web_search")

Found = tuple[str, list[dict[str, Any]]]


def whole(door: Door, model: str, **extra: object) -> Found:
    """The content and citations of an answer that is not streamed."""
    answer = door.client.chat.completions.create(model=model, messages=QUESTION, extra_body=extra)
    message = answer.choices[0].message
    citations = [annotation.url_citation.model_dump() for annotation in message.annotations or []]
    return message.content or "", citations


def streamed(door: Door, model: str, **extra: object) -> Found:
    """The content and citations of a streamed answer."""
    content: list[str] = []
    citations: list[dict[str, Any]] = []
    with door.client.chat.completions.create(model=model, messages=QUESTION, stream=True, extra_body=extra) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                content.append(choice.delta.content or "")
                annotations: list[dict[str, Any]] = getattr(choice.delta, "annotations", None) or []
                assert all(annotation["type"] == "url_citation" for annotation in annotations)
                citations += [annotation["url_citation"] for annotation in annotations]
    return "".join(content), citations


WAYS = pytest.mark.parametrize("ask", [whole, streamed], ids=["whole", "streamed"])


@WAYS
def test_search_by_name_lists_the_sources(door: Door, ask: Any) -> None:  # noqa: ANN401 # whole or streamed
    """A search model's content ends with a list of what it cites, after the text."""
    door.guest.plan({"text": TEXT, "search": [ONE, TWO]})
    content, _ = ask(door, "kimi-search")
    listed = content[content.index("blue") :]
    places = [listed.find(part) for part in ("Water", "https://example.com/one", "Sky", "https://example.com/two")]
    assert places == sorted(places)
    assert places[0] > 0


@WAYS
def test_citations_point_into_the_content(door: Door, ask: Any) -> None:  # noqa: ANN401 # whole or streamed
    """Each annotation's indexes are those of its citation in the content, in code points."""
    door.guest.plan({"text": TEXT, "search": [ONE, TWO]})
    content, citations = ask(door, "kimi-search")
    assert [citation["url"] for citation in citations] == ["https://example.com/one", "https://example.com/two"]
    assert [citation["title"] for citation in citations] == ["Water", "Sky"]
    for number, (citation, before) in enumerate(zip(citations, ("🌊", "blue"), strict=True), start=1):
        assert content[: citation["start_index"]].endswith(before)
        assert content[citation["start_index"] : citation["end_index"]] == f"[{number}]"


@WAYS
@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("kimi", {"use_search": True}),
        ("kimi-search-silent", {}),
        ("kimi-silent-search", {}),
        ("gpt-4o", {"use_search": True}),
    ],
)
def test_no_list_unless_asked_for_by_name(door: Door, ask: Any, model: str, extra: dict[str, object]) -> None:  # noqa: ANN401 # whole or streamed
    """With use_search, and with -silent, the citations are annotations only and the text is Kimi's."""
    door.guest.plan({"text": TEXT, "search": [ONE, TWO]})
    content, citations = ask(door, model, **extra)
    assert content == BARE
    assert [(citation["start_index"], citation["end_index"]) for citation in citations] == [(10, 10), (30, 30)]


@WAYS
@pytest.mark.parametrize("cite", ["e3a3", "1f6e0"])
@pytest.mark.parametrize("model", ["kimi-search", "kimi-search-silent", "kimi"])
def test_no_marker_is_ever_shown(door: Door, ask: Any, cite: str, model: str) -> None:  # noqa: ANN401 # whole or streamed
    """Neither alphabet of markers reaches the content, also where the network splits them."""
    answer = {"text": TEXT + " {{cite:0,1}}", "search": [ONE, TWO], "cite": cite, "split_cite": True, "chunk": "random"}
    door.guest.plan(answer)
    content, citations = ask(door, model)
    assert not MARKER.search(content)
    assert len(citations) == 4


@WAYS
def test_sources_that_nothing_cites_stand_at_the_end(door: Door, ask: Any) -> None:  # noqa: ANN401 # whole or streamed
    """A search without citations in the text is annotated behind it."""
    door.guest.plan({"text": "Water is wet.", "search": [ONE, TWO]})
    content, citations = ask(door, "kimi", use_search=True)
    assert content == "Water is wet."
    assert [(citation["url"], citation["start_index"]) for citation in citations] == [
        ("https://example.com/one", 13),
        ("https://example.com/two", 13),
    ]


@WAYS
def test_a_model_that_did_not_search_has_no_list(door: Door, ask: Any) -> None:  # noqa: ANN401 # whole or streamed
    """Where Kimi found nothing, a search model's answer is its text."""
    door.guest.plan({"text": "Water is wet."})
    assert ask(door, "kimi-search") == ("Water is wet.", [])


@pytest.mark.parametrize(
    ("model", "extra", "searches"),
    [
        ("kimi-search", {}, True),
        ("kimi", {"use_search": True}, True),
        ("kimi", {}, False),
        ("kimi-search", {"use_search": False}, False),
    ],
)
def test_kimi_is_told_to_search(door: Door, model: str, extra: dict[str, object], searches: bool) -> None:  # noqa: FBT001 # a column of the table
    """The name asks for a search, use_search decides."""
    whole(door, model, **extra)
    asked = door.guest.asked()
    told = asked["use_search"] if "use_search" in asked else "TOOL_TYPE_SEARCH" in str(asked["tools"])
    assert told is searches
