"""Tolerant reading of Kimi's JSON."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("said", "expected"),
    [
        ("不支持的文件", "不支持的文件"),
        ("  one\r\n\ttwo  \u2028three ", "one two three"),
        ("a\x00b\u202ec\x1b[31md\u200be", "abc[31mde"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200),
        ("\x00" * 300 + "x", "x"),
        ("\n \t", ""),
        ("", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_saying(said: object, expected: str) -> None:
    """A stranger's words are one printable line of a limited length."""
    assert expected == json.saying({"a": {"message": said}}, "a", "message")


@given(st.text())
def test_any_text_may_be_said(said: str) -> None:
    """What is passed on can stand in a sentence of ours."""
    words = json.saying({"message": said}, "message")
    assert words.isprintable()
    assert len(words) <= json.SAYING == 200


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


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-07-29T11:58:03.964Z", 1_785_326_283.964),
        ("2026-01-09T15:23:13.716839300Z", 1_767_972_193.716839),
        ("2026-07-29T13:58:03.964+02:00", 1_785_326_283.964),
    ],
)
def test_timestamp(written: str, seconds: float) -> None:
    """A moment is told to the nanosecond, in any zone."""
    assert json.timestamp({"a": {"resetTime": written}}, "a", "resetTime") == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize(
    "written", [None, 7, "", "soon", "2026-07-29T11:58:03", "2026-13-01T00:00:00Z", "2026-07-29", "20260729T115803", []]
)
def test_no_timestamp(written: object) -> None:
    """What is no moment, or has no zone, is none."""
    assert json.timestamp({"at": written}, "at") is None


@given(st.text() | st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str))
def test_any_text_may_stand_for_a_moment(written: str) -> None:
    """It is read or not; it never raises."""
    seconds = json.timestamp({"at": written}, "at")
    assert seconds is None or math.isfinite(seconds)


@pytest.mark.parametrize(
    ("written", "value"), [(0, 0.0), (7, 7.0), (-1.5, -1.5), ("2048", 2048.0), ("0.25", 0.25), (10**300, 1e300)]
)
def test_number(written: object, value: float) -> None:
    """A number may be written as a string, as protobuf does with large ones."""
    assert json.number({"a": written}, "a") == value


@pytest.mark.parametrize("written", [None, True, False, "", "many", [], {}, "nan", "inf", math.inf, 10**400, "1e999"])
def test_no_number(written: object) -> None:
    """What is none, or none that can be reckoned with."""
    assert json.number({"a": written}, "a") is None


def test_round_trip() -> None:
    """What is written is read again, without blanks and in UTF-8."""
    value = {"a": [1, "你好", None, {"b": False}]}
    assert json.parse(json.dump(value)) == value
    assert json.dump({"a": "你"}) == '{"a":"你"}'.encode()
