"""Models in Google's words."""

from __future__ import annotations

from typing import Any

import pytest

from app.dialects.gemini.models import model, page
from app.errors import InvalidRequest

NAMES = ("kimi", "kimi-k2", "kimi-k3")


def names(listed: dict[str, object]) -> list[str]:
    """The names on a page."""
    models: Any = listed["models"]
    return [entry["name"] for entry in models]


def test_a_model_tells_what_is_known_of_it() -> None:
    """And nothing that is made up."""
    assert model("kimi-k2") == {
        "name": "models/kimi-k2",
        "displayName": "kimi-k2",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }


def test_a_list_of_few_is_one_page() -> None:
    """Without a token."""
    assert page(NAMES, {}) == {"models": [model(name) for name in NAMES]}
    assert page((), {}) == {"models": []}


@pytest.mark.parametrize(("size", "token"), [("pageSize", "pageToken"), ("page_size", "page_token")])
@pytest.mark.parametrize("count", ["1", "2", "3", "999999999", "0", ""])
def test_the_pages_together_are_the_list(count: str, size: str, token: str) -> None:
    """Whatever their size; 0 leaves it to the server, as in all of Google's lists."""
    listed = page(NAMES, {size: count})
    found = names(listed)
    while "nextPageToken" in listed:
        assert len(names(listed)) == int(count)
        listed = page(NAMES, {size: count, token: str(listed["nextPageToken"])})
        found += names(listed)
    assert found == [f"models/{name}" for name in NAMES]


def test_a_page_has_fifty_by_default() -> None:
    """As Google's has, and a thousand at most."""
    many = [f"m{number}" for number in range(1001)]
    assert [len(names(page(many, {}))), len(names(page(many, {"pageSize": "5000"})))] == [50, 1000]
    assert names(page(many, {"pageToken": "5000"})) == []


@pytest.mark.parametrize("name", ["pageSize", "pageToken", "page_size", "page_token"])
@pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 10, "٣"])
def test_a_page_that_is_none_is_refused(name: str, value: str) -> None:
    """Under the name that the client gave it."""
    with pytest.raises(InvalidRequest) as caught:
        page(NAMES, {name: value})
    assert caught.value.param == name
