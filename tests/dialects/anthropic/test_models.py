"""The list of models in Anthropic's shape."""

from __future__ import annotations

import json

import pytest
from anthropic.types import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.anthropic.models import DEFAULT_LIMIT, MAX_LIMIT, model_info, model_page
from app.errors import InvalidRequest

NAMES = [f"kimi-{number}" for number in range(30)]


def test_a_model_byte_for_byte() -> None:
    """As the vendor's SDK reads it."""
    info = model_info("kimi-k2")
    assert info == {
        "type": "model",
        "id": "kimi-k2",
        "display_name": "kimi-k2",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
    }
    assert ModelInfo.model_validate_json(json.dumps(info), strict=True).created_at.timestamp() == 1_700_000_000


@pytest.mark.parametrize(
    ("arguments", "page", "has_more"),
    [
        ({}, NAMES[:DEFAULT_LIMIT], True),
        ({"limit": "1000"}, NAMES, False),
        ({"limit": "30"}, NAMES, False),
        ({"limit": "2"}, NAMES[:2], True),
        ({"limit": "2", "after_id": "kimi-1"}, NAMES[2:4], True),
        ({"limit": "2", "after_id": "kimi-27"}, NAMES[28:], False),
        ({"after_id": "kimi-29"}, [], False),
        ({"limit": "2", "before_id": "kimi-5"}, NAMES[3:5], True),
        ({"limit": "2", "before_id": "kimi-2"}, NAMES[:2], False),
        ({"before_id": "kimi-0"}, [], False),
        ({"limit": "2", "after_id": "kimi-3", "before_id": "kimi-9"}, NAMES[4:6], True),
    ],
)
def test_a_page_is_the_part_that_is_asked_for(arguments: dict[str, str], page: list[str], *, has_more: bool) -> None:
    """Behind one model, or before one."""
    answer = model_page(NAMES, arguments)
    assert answer["data"] == [model_info(name) for name in page]
    ends = [page[0], page[-1]] if page else [None, None]
    assert [answer["has_more"], answer["first_id"], answer["last_id"]] == [has_more, *ends]


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        *(({"limit": value}, "limit") for value in ("0", str(MAX_LIMIT + 1), "-1", "1.5", "", "many", "٣", "9" * 9999)),
        ({"after_id": "gpt-4o"}, "after_id"),
        ({"before_id": ""}, "before_id"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, str], param: str) -> None:
    """A client that goes through all pages would begin anew."""
    with pytest.raises(InvalidRequest) as caught:
        model_page(NAMES, arguments)
    assert caught.value.param == param


@given(st.integers(0, 30), st.integers(1, 31), st.sampled_from(["after_id", "before_id"]))
def test_all_pages_together_are_the_list(count: int, limit: int, param: str) -> None:
    """In whichever direction a client goes."""
    names = NAMES[:count]
    page = model_page([*names, "end"] if param == "before_id" else ["end", *names], {param: "end", "limit": str(limit)})
    listed = [[model["id"] for model in page["data"]]]  # type: ignore[attr-defined]
    while page["has_more"]:
        cursor = str(page["first_id" if param == "before_id" else "last_id"])
        page = model_page(names, {param: cursor, "limit": str(limit)})
        listed.append([model["id"] for model in page["data"]])  # type: ignore[attr-defined]
    pages = reversed(listed) if param == "before_id" else listed
    assert [name for names_of_page in pages for name in names_of_page] == names
