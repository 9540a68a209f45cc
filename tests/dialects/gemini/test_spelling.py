"""Objects in either spelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.dialects.gemini.spelling import Members, camel, listed
from app.errors import InvalidRequest


@pytest.mark.parametrize("name", ["stopSequences", "stop_sequences"])
def test_a_member_is_found_in_either_spelling(name: str) -> None:
    """And its place is told as the client wrote it."""
    members = Members({name: ["a"]}, "generationConfig")
    assert [members.get("stopSequences"), "stopSequences" in members] == [["a"], True]
    assert members.at("stopSequences") == f"generationConfig.{name}"


def test_a_member_of_the_body_has_no_place_before_it() -> None:
    """Nor has one that is not there another spelling than Google's own."""
    members = Members({"tool_config": {}})
    assert [members.at("toolConfig"), members.at("systemInstruction")] == ["tool_config", "systemInstruction"]


def test_null_is_as_absent() -> None:
    """In protobuf's JSON it is; the other spelling still counts."""
    members = Members({"topK": None, "top_k": 1, "topP": None})
    assert [members.get("topK"), members.get("topP"), "topP" in members] == [1, None, False]
    assert [members.at("topK"), members.at("topP")] == ["top_k", "topP"]


def test_the_vendor_s_spelling_wins() -> None:
    """Where both are there."""
    members = Members({"top_k": 1, "topK": 2})
    assert [members.get("topK"), members.at("topK")] == [2, "topK"]


@pytest.mark.parametrize(
    ("read", "param"),
    [
        (lambda members: members.text("mimeType"), "a.mime_type"),
        (lambda members: members.word("mimeType"), "a.mime_type"),
        (lambda members: members.object("mimeType"), "a.mime_type"),
        (lambda members: members.objects("mimeType"), "a.mime_type"),
        (lambda members: members.objects("tools"), "a.tools[1]"),
    ],
)
def test_a_value_of_another_kind_is_refused(read: Callable[[Members], object], param: str) -> None:
    """Under the name that the client gave it."""
    with pytest.raises(InvalidRequest) as caught:
        read(Members({"mime_type": 7, "tools": [{}, 7]}, "a"))
    assert caught.value.param == param
    assert caught.value.message.startswith(param)


@pytest.mark.parametrize(
    ("written", "word"), [("any", "ANY"), ("AUTO", "AUTO"), ("MODE_UNSPECIFIED", None), (None, None)]
)
def test_a_word_is_in_capitals(written: str | None, word: str | None) -> None:
    """One that is not specified is none."""
    assert Members({"mode": written}).word("mode") == word


def test_one_object_may_stand_for_a_list() -> None:
    """As in Google's own examples."""
    members = Members({"one": {"a": 1}, "two": [{"a": 1}, {"a": 2}]}, "x")
    assert [(each.place, each.get("a")) for each in members.objects("one")] == [("x.one", 1)]
    assert [(each.place, each.get("a")) for each in members.objects("two")] == [("x.two[0]", 1), ("x.two[1]", 2)]
    assert members.objects("none") == []
    assert [listed("a"), listed(["a"])] == [["a"], ["a"]]


def test_the_members_of_a_member_have_its_place() -> None:
    """Down to any depth."""
    inner = Members({"thinking_config": {"thinking_budget": 0}}, "c").object("thinkingConfig")
    assert inner is not None
    assert [inner.get("thinkingBudget"), inner.at("thinkingBudget")] == [0, "c.thinking_config.thinking_budget"]
    assert Members({}).object("thinkingConfig") is None


@pytest.mark.parametrize(
    ("name", "expected"), [("any_of", "anyOf"), ("anyOf", "anyOf"), ("type", "type"), ("$ref", "$ref")]
)
def test_a_name_in_camel_case(name: str, expected: str) -> None:
    """Whichever it was in."""
    assert camel(name) == expected
