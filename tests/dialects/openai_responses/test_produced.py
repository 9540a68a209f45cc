"""The items of an answer, each with the events that tell how it comes about; all as the vendor's types have them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from app.chat.events import Annotation, Source, ToolCallStart
from app.dialects.openai_responses.produced import CustomCall, FunctionCall, Item, Place, Reasoning, Told, Words
from app.dialects.openai_responses.tools import Names
from tests.dialects.openai_responses.vendor import EVENT, ITEM

PLACE = Place("id_1", 2)
SPACE = Names({"g": ("crm", "g")})


def told(events: Iterable[Told]) -> list[tuple[str, dict[str, object]]]:
    """The events, each of which has to be one of the vendor's."""
    out = []
    for kind, members in events:
        event = {"type": kind, "sequence_number": 0, **members}
        EVENT.validate_json(json.dumps(event), strict=True)
        out.append((kind.removeprefix("response."), members))
    return out


def run(item: Item, *texts: str, status: str = "completed") -> list[tuple[str, dict[str, object]]]:
    """All events of an item that gets these texts."""
    events = [*told(item.begin())]
    for text in texts:
        events += told(item.more(text))
    done = [item.is_done]
    events += told(item.end(status))
    assert [*done, item.is_done] == [False, True]
    ITEM.validate_json(json.dumps(item.fields), strict=True)
    assert events[-1] == ("output_item.done", {"output_index": 2, "item": item.fields})
    return events


def summary(text: str) -> dict[str, object]:
    """A summary of what was thought."""
    return {"type": "summary_text", "text": text}


def test_what_was_thought_is_a_summary() -> None:
    """All clients show it as that."""
    item = Reasoning(PLACE)
    at = {"item_id": "id_1", "output_index": 2, "summary_index": 0}
    bare = {"id": "id_1", "type": "reasoning"}
    assert run(item, "h", "m") == [
        ("output_item.added", {"output_index": 2, "item": {**bare, "summary": []}}),
        ("reasoning_summary_part.added", {**at, "part": summary("")}),
        ("reasoning_summary_text.delta", {**at, "delta": "h"}),
        ("reasoning_summary_text.delta", {**at, "delta": "m"}),
        ("reasoning_summary_text.done", {**at, "text": "hm"}),
        ("reasoning_summary_part.done", {**at, "part": summary("hm")}),
        ("output_item.done", {"output_index": 2, "item": {**bare, "summary": [summary("hm")]}}),
    ]


def part(text: str, *annotations: object) -> dict[str, object]:
    """A text of a message."""
    return {"type": "output_text", "annotations": [*annotations], "logprobs": [], "text": text}


def message(status: str, *content: object) -> dict[str, object]:
    """A message."""
    return {"id": "id_1", "type": "message", "status": status, "role": "assistant", "content": [*content]}


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_words_are_a_message(status: str) -> None:
    """Of one part."""
    at = {"item_id": "id_1", "output_index": 2, "content_index": 0}
    assert run(Words(PLACE, 0), 'say "', "世", status=status) == [
        ("output_item.added", {"output_index": 2, "item": message("in_progress")}),
        ("content_part.added", {**at, "part": part("")}),
        ("output_text.delta", {**at, "delta": 'say "', "logprobs": []}),
        ("output_text.delta", {**at, "delta": "世", "logprobs": []}),
        ("output_text.done", {**at, "text": 'say "世', "logprobs": []}),
        ("content_part.done", {**at, "part": part('say "世')}),
        ("output_item.done", {"output_index": 2, "item": message(status, part('say "世'))}),
    ]


def test_a_source_is_a_citation() -> None:
    """With its place in the message; one that comes late is told in the answer's end alone."""
    words = Words(PLACE, 10)
    told(words.begin())
    told(words.more("abc"))
    sources = [Source("https://a.example/", "A"), Source("https://b.example/", "B")]
    first, late = (
        {"type": "url_citation", "start_index": start, "end_index": 3, "url": source.url, "title": source.title}
        for start, source in zip((1, 0), sources, strict=True)
    )
    (added,) = told(words.cite(Annotation(sources[0], 11, 13)))
    at = {"item_id": "id_1", "output_index": 2, "content_index": 0}
    assert added == ("output_text.annotation.added", {**at, "annotation_index": 0, "annotation": first})
    told(words.end("completed"))
    assert told(words.cite(Annotation(sources[1], 2, 13))) == []
    assert words.fields["content"] == [part("abc", first, late)]


def call(*, freeform: bool = False, name: str = "f") -> ToolCallStart:
    """The beginning of a call."""
    return ToolCallStart(0, "call_1", name, freeform)


def test_a_call_tells_its_arguments_as_they_come() -> None:
    """And once more when they are whole."""
    item = FunctionCall(call(), PLACE, SPACE)
    at = {"item_id": "id_1", "output_index": 2}
    bare = {"id": "id_1", "type": "function_call", "call_id": "call_1", "name": "f"}
    assert run(item, '{"a"', ":1}") == [
        ("output_item.added", {"output_index": 2, "item": {**bare, "status": "in_progress", "arguments": ""}}),
        ("function_call_arguments.delta", {**at, "delta": '{"a"'}),
        ("function_call_arguments.delta", {**at, "delta": ":1}"}),
        ("function_call_arguments.done", {**at, "name": "f", "arguments": '{"a":1}'}),
        ("output_item.done", {"output_index": 2, "item": {**bare, "status": "completed", "arguments": '{"a":1}'}}),
    ]


def test_a_custom_call_tells_its_text_at_its_end() -> None:
    """Until then it stands in JSON."""
    item = CustomCall(call(freeform=True), PLACE, SPACE)
    at = {"item_id": "id_1", "output_index": 2}
    bare = {"id": "id_1", "type": "custom_tool_call", "call_id": "call_1", "name": "f"}
    assert run(item, '{"input":', '"a\\n"}') == [
        ("output_item.added", {"output_index": 2, "item": {**bare, "status": "in_progress", "input": ""}}),
        ("custom_tool_call_input.delta", {**at, "delta": "a\n"}),
        ("custom_tool_call_input.done", {**at, "input": "a\n"}),
        ("output_item.done", {"output_index": 2, "item": {**bare, "status": "completed", "input": "a\n"}}),
    ]


def test_an_empty_text_has_no_delta() -> None:
    """There is nothing to add."""
    kinds = [kind for kind, _ in run(CustomCall(call(freeform=True), PLACE, SPACE), '{"input":""}')]
    assert kinds == ["output_item.added", "custom_tool_call_input.done", "output_item.done"]


@pytest.mark.parametrize("kind", [FunctionCall, CustomCall])
def test_a_call_names_the_namespace_of_its_tool(kind: type[FunctionCall | CustomCall]) -> None:
    """By both names the client finds it."""
    item = kind(call(name="g"), PLACE, SPACE)
    run(item, "{}")
    assert {"name": "g", "namespace": "crm"}.items() <= item.fields.items()


def test_a_lone_surrogate_in_arguments_breaks_nothing() -> None:
    """It cannot be written."""
    item = FunctionCall(call(), PLACE, SPACE)
    run(item, '{"a":"\ud800"}')
    assert item.fields["arguments"] == '{"a":"\ufffd"}'
