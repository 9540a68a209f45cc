"""Answers that are kept: what a later request may refer to, and what a client is told of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.responses import ResponseItemList

from app.dialects.openai_responses.stored import Item, items_of, page, referred, resolved, to_keep
from app.errors import InvalidRequest, NotFound
from app.gateway.answers import Kept

HEX = "0123456789abcdef" * 2
ID = f"resp_{HEX}"
HI: dict[str, object] = {"role": "user", "content": "hi"}
SAID: dict[str, object] = {
    "id": f"msg_{HEX}1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}],
}


def kept(*items: Item, chain: Sequence[Kept] = (), response_id: str = ID) -> Kept:
    """An answer to these items."""
    return to_keep(response_id, chain, items, json.dumps({"output": [SAID]}).encode())


def test_an_answer_is_kept_with_what_was_new() -> None:
    """And with the ids of those before it."""
    first = kept(HI)
    assert [first.response_id, first.before] == [ID, ()]
    assert items_of(first) == [{**HI, "id": f"msg_{HEX}in0"}, SAID]
    second = kept(HI, chain=[first], response_id="resp_2")
    third = kept(HI, chain=[first, second], response_id="resp_3")
    assert [second.before, third.before] == [(ID,), (ID, "resp_2")]


def test_an_item_keeps_the_id_that_its_client_gave_it() -> None:
    """One without gets one, and no two have the same."""
    items = items_of(kept({**HI, "id": "mine"}, HI, {"type": "function_call_output"}, {"type": "hologram", "id": None}))
    assert [item["id"] for item in items[:-1]] == ["mine", f"msg_{HEX}in1", f"fco_{HEX}in2", f"item_{HEX}in3"]


# --- References --------------------------------------------------------------------------------------------


def by_id(name: str, **members: object) -> dict[str, object]:
    """A reference to an item."""
    return {"type": "item_reference", "id": name, **members}


def test_a_reference_names_an_answer() -> None:
    """Each once; what does not refer names none."""
    items: list[object] = [HI, by_id(f"msg_{HEX}1"), {"id": f"rs_{HEX}0"}, by_id("msg_1"), by_id(""), 7, SAID]
    assert referred(items) == (ID,)
    assert referred([HI, SAID]) == ()


@pytest.mark.parametrize(
    "reference", [by_id(f"msg_{HEX}1"), {"id": f"msg_{HEX}1"}, {"type": None, "id": f"msg_{HEX}1"}]
)
def test_a_reference_becomes_the_item(reference: dict[str, object]) -> None:
    """The vendor lets it do without a type."""
    assert resolved([HI, reference, HI], [kept(HI)]) == [HI, SAID, HI]


def test_what_was_asked_may_be_referred_to() -> None:
    """As what was answered."""
    assert resolved([by_id(f"msg_{HEX}in0")], [kept(HI)]) == [{**HI, "id": f"msg_{HEX}in0"}]


def test_thinking_need_not_be_known() -> None:
    """It is not sent on; the places of the items behind it stay the same."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    assert resolved([by_id("rs_1"), HI], []) == [thought, HI]


@pytest.mark.parametrize("name", ["msg_1", f"msg_{HEX}7", "", "x" * 10_000])
def test_another_item_must_be_known(name: str) -> None:
    """What it said would be missing."""
    with pytest.raises(NotFound) as caught:
        resolved([HI, by_id(name)], [kept(HI)])
    assert caught.value.param == "input[1].id"
    assert len(caught.value.message) < 200


# --- Pages -------------------------------------------------------------------------------------------------


def listed(*items: Item, **args: str) -> dict[str, Any]:
    """The page of these items; it has to be one of the vendor's."""
    told = page(kept(*items), args)
    if told["data"]:
        ResponseItemList.model_validate_json(json.dumps(told), strict=True)
    return told


def named(count: int) -> list[Item]:
    """So many items."""
    return [{**HI, "id": f"msg_{number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("args", "names", "more"),
    [
        ({}, "210", False),
        ({"order": "desc"}, "210", False),
        ({"order": "asc"}, "012", False),
        ({"order": "sideways"}, "210", False),
        ({"limit": "2"}, "21", True),
        ({"limit": "3"}, "210", False),
        ({"order": "asc", "after": "msg_0"}, "12", False),
        ({"order": "asc", "after": "msg_0", "limit": "1"}, "1", True),
        ({"after": "msg_0"}, "", False),
        ({"include": "message.input_image.image_url"}, "210", False),
    ],
)
def test_a_page_has_what_was_new(args: dict[str, str], names: str, *, more: bool) -> None:
    """The newest first, unless asked otherwise; what was answered is not in it."""
    told = listed(*named(3), **args)
    assert [item["id"] for item in told["data"]] == [f"msg_{name}" for name in names]
    assert told["has_more"] is more
    ends = (f"msg_{names[0]}", f"msg_{names[-1]}") if names else (None, None)
    assert (told["object"], told["first_id"], told["last_id"]) == ("list", *ends)


def test_a_page_is_of_the_vendor_s_size() -> None:
    """Twenty, and a hundred at most."""
    assert len(listed(*named(101))["data"]) == 20
    assert len(listed(*named(101), limit="100")["data"]) == 100


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000", "a", "", "1.5", "٣", " 1"])
def test_another_size_is_refused(limit: str) -> None:
    """It is named."""
    with pytest.raises(InvalidRequest) as caught:
        listed(*named(1), limit=limit)
    assert caught.value.param == "limit"


def test_a_page_behind_nothing_is_not_found() -> None:
    """The client holds on to what is not there."""
    with pytest.raises(NotFound) as caught:
        listed(*named(1), after="msg_9")
    assert caught.value.param == "after"


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (HI, {"content": [{"type": "input_text", "text": "hi"}]}),
        ({**HI, "type": None, "status": None}, {"type": "message", "status": "completed"}),
        (
            {"role": "assistant", "content": "hi"},
            {"content": [{"type": "output_text", "text": "hi", "annotations": []}]},
        ),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "https://a.example"}]}, {}),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}, {}),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"status": "completed"}),
        ({"type": "function_call_output", "call_id": "c", "output": "a"}, {"status": "completed"}),
        (
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "f"}]},
            {"output": [{"type": "input_image", "file_id": "f", "detail": "auto"}]},
        ),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "a"}, {}),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": "a"}, {}),
        ({"type": "reasoning", "summary": []}, {}),
    ],
)
def test_an_item_is_told_whole(item: dict[str, object], told: dict[str, object]) -> None:
    """Also where the client left out what the vendor's types want."""
    (listed_item,) = listed(item)["data"]
    assert told.items() <= listed_item.items()
    assert ("status" in listed_item) is (item.get("type") != "reasoning")
