"""Tolerant reading of Kimi's JSON."""

from __future__ import annotations

import pytest

from app.kimi import json


@pytest.mark.parametrize("name", ["refIndex", "ref_index"])
def test_both_spellings(name: str) -> None:
    """A member is found in camel and in snake case."""
    assert json.member({name: 1}, "refIndex") == 1


def test_camel_case_wins() -> None:
    """Where both stand, the site's own spelling counts, unless it is null."""
    assert json.member({"refIndex": 1, "ref_index": 2}, "refIndex") == 1
    assert json.member({"refIndex": None, "ref_index": 2}, "refIndex") == 2


@pytest.mark.parametrize("value", [None, [], "text", 7, {}, {"Name": 1}])
def test_no_member(value: object) -> None:
    """What is not there is None, in whatever it is not."""
    assert json.member(value, "name") is None


def test_falsy_members() -> None:
    """A false or empty member is there."""
    assert json.member({"isGoal": False, "is_goal": True}, "isGoal") is False
    assert json.member({"x": {}}, "x") == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"a": {"bC": "x"}}, "x"), ({"a": {"b_c": "x"}}, "x"), ({"a": {"bC": 7}}, ""), ({"a": []}, ""), (None, "")],
)
def test_text(value: object, expected: str) -> None:
    """A string at a path is itself, anything else is empty."""
    assert expected == json.text(value, "a", "bC")


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"a": {"b": [1, None]}}, [1, None]), ({"a": {"b": {}}}, []), ({"a": "text"}, []), ([], []), (None, [])],
)
def test_items(value: object, expected: list[object]) -> None:
    """A list at a path gives its elements, anything else none."""
    assert expected == list(json.items(value, "a", "b"))


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b"\xff", b"NaN", b'"\\ud800"', b"[" * 10_000, b"{} {}"])
def test_broken_json(data: bytes) -> None:
    """What is no JSON is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        json.parse(data)


def test_round_trip() -> None:
    """What is written is read again, without blanks and in UTF-8."""
    value = {"a": [1, "你好", None, {"b": False}]}
    assert json.parse(json.dump(value)) == value
    assert json.dump({"a": "你"}) == '{"a":"你"}'.encode()
