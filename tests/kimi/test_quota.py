"""What Kimi tells of an account's quotas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kimi.http import HttpAnswer
from app.kimi.quota import Quota, research_quota, subscription_quotas
from tests.kimi.answers import json_answer, page
from tests.kimi.streams import capture

MOMENT = "2026-07-29T11:58:03.964Z"
SECONDS = 1_785_326_283.964


def told(**body: object) -> tuple[Quota, ...]:
    """What an answer of GetSubscriptionStats tells."""
    return subscription_quotas(json_answer(body))


def test_the_captured_answer_tells_of_three_quotas() -> None:
    """The plan's, which a chat needs, and two windows of the coding plan; an absent ratio is 0."""
    (row,) = [row for row in capture("11") if row["url"].endswith("GetSubscriptionStats")]
    assert subscription_quotas(json_answer(row["response"])) == (
        Quota("plan", 0.0219, 1_787_875_200.0, chat=True),
        Quota("code, 5 hours", 0.0, SECONDS),
        Quota("code, 7 days", 0.1042, 1_785_859_082.964),
    )


@pytest.mark.parametrize(
    ("balance", "resets_at"),
    [
        ({"resetTime": MOMENT, "expireTime": "2030-01-01T00:00:00Z"}, SECONDS),
        ({"expireTime": MOMENT}, SECONDS),
        ({"resetTime": "soon", "expireTime": MOMENT}, SECONDS),
        ({}, None),
    ],
)
def test_a_plan_is_full_again_when_it_is_reset_or_else_renewed(
    balance: dict[str, object], resets_at: float | None
) -> None:
    """The sooner is told where both are."""
    assert told(subscriptionBalance=balance) == (Quota("plan", 0.0, resets_at, chat=True),)


@pytest.mark.parametrize(("ratio", "used"), [(0.5, 0.5), ("0.5", 0.5), (1, 1.0), (None, 0.0), ("much", 0.0)])
def test_a_ratio_may_be_a_string_or_absent(ratio: object, used: float) -> None:
    """As protobuf writes it."""
    assert told(subscriptionBalance={"amountUsedRatio": ratio}) == (Quota("plan", used, chat=True),)
    assert told(ratelimitCode5h={"ratio": ratio}) == (Quota("code, 5 hours", used),)


def test_a_window_that_is_switched_off_is_not_told() -> None:
    """It limits nothing."""
    assert told(ratelimitCode5h={"enabled": False, "ratio": 1}, ratelimitCode7d={}) == (Quota("code, 7 days", 0.0),)


def test_both_spellings_are_read() -> None:
    """Snake case as well."""
    body = {"subscription_balance": {"amount_used_ratio": 1, "reset_time": MOMENT}}
    assert told(**body) == (Quota("plan", 1.0, SECONDS, chat=True),)


@pytest.mark.parametrize(("used", "spent"), [(0.0, False), (0.999, False), (1.0, True), (1.2, True)])
def test_a_quota_is_spent_when_nothing_is_left(used: float, *, spent: bool) -> None:
    """Also where more was used than there was."""
    assert Quota("plan", used).spent is spent


@pytest.mark.parametrize(
    ("body", "used"),
    [
        ({"remain": 3, "total": 4, "used": 1}, 0.25),
        ({"remain": "3", "total": "4"}, 0.25),
        ({"remain": 0, "total": 5}, 1.0),
        ({"remain": -1, "total": 5}, 1.0),
        ({"remain": 7, "total": 5}, 0.0),
    ],
)
def test_research_turns_are_a_quota(body: dict[str, object], used: float) -> None:
    """A chat does not need them; when there are more is not told."""
    assert research_quota(json_answer(body)) == (Quota("research", used),)


@pytest.mark.parametrize(
    "body", [{}, {"remain": 3}, {"total": 3}, {"remain": 0, "total": 0}, {"remain": 1, "total": -1}]
)
def test_research_turns_that_are_not_told_are_no_quota(body: dict[str, object]) -> None:
    """Nor are those of an account that never had any."""
    assert research_quota(json_answer(body)) == ()


@pytest.mark.parametrize(
    "answer",
    [page(200), json_answer(None), json_answer([]), json_answer({}), json_answer("x"), HttpAnswer(200, {}, b"")],
)
def test_an_answer_of_an_unknown_shape_tells_nothing(answer: HttpAnswer) -> None:
    """And is no error: quotas are told for information."""
    assert subscription_quotas(answer) == research_quota(answer) == ()


NAMES = [
    "subscriptionBalance",
    "ratelimitCode5h",
    "ratelimitCode7d",
    "amountUsedRatio",
    "ratio",
    "enabled",
    "resetTime",
]
NAMES += ["expireTime", "total", "remain"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    )
)
def test_any_json(value: object) -> None:
    """Arbitrary JSON never raises, and what is told can be reckoned with."""
    for quota in subscription_quotas(json_answer(value)) + research_quota(json_answer(value)):
        assert math.isfinite(quota.used)
