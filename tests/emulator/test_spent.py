"""An account that has used up its quota."""

import time
from datetime import datetime
from typing import Any

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import Answered, Raw, answer_text

pytestmark = pytest.mark.e2e

STATS = "kimi.gateway.membership.v2.MembershipService/GetSubscriptionStats"
SPENT = {"code": "resource_exhausted", "message": "Your quota is used up."}


def legacy_ask(raw: Raw) -> Answered:
    """Ask in a new chat of the legacy site."""
    chat = raw.legacy("POST", "/api/chat", name="n").json["id"]
    return raw.legacy("POST", f"/api/chat/{chat}/completion/stream", messages=[{"role": "user", "content": "q"}])


def trailer(answered: Answered) -> Any:  # noqa: ANN401 -- any JSON
    """Give the error of an answer that holds only a heartbeat besides."""
    beat, (flags, payload) = answered.frames
    assert (answered.status, beat, flags) == (200, (0, {"heartbeat": {}}), 2)
    return payload["error"]


def seconds_until(moment: str) -> float:
    """Tell how far away an RFC 3339 time is."""
    assert moment.endswith("Z")
    return datetime.fromisoformat(moment).timestamp() - time.time()


def test_a_spent_account_is_refused_at_the_door(control: EmulatorControl, raw: Raw) -> None:
    """With no reason of overload, no time that nobody told, no chat, and no answer used up."""
    control.patch_account("ann", state="spent")
    control.plan({"text": "later"})
    error = trailer(raw.ask())
    assert {key: error[key] for key in SPENT} == SPENT
    (detail,) = error["details"]
    assert detail["debug"].keys() == {"localizedMessage"}
    assert control.chats() == []
    control.patch_account("ann", state="ok")
    assert answer_text(raw.ask().frames) == "later"


def test_the_legacy_site_refuses_in_the_other_shape(control: EmulatorControl, raw: Raw) -> None:
    """As plain JSON under 429."""
    control.patch_account("ann", state="spent", reset_seconds=60)
    answered = legacy_ask(raw)
    assert (answered.status, answered.headers["content-type"]) == (429, "application/json")
    assert {key: answered.json[key] for key in SPENT} == SPENT
    assert abs(seconds_until(answered.json["details"][0]["debug"]["resetTime"]) - 60) < 20


def test_the_time_of_the_reset_stands_still(control: EmulatorControl, raw: Raw) -> None:
    """It has nine digits, is counted from the call that set it, and can be taken back."""
    control.patch_account("ann", state="spent", reset_seconds=3600)
    first = trailer(raw.ask())["details"][0]["debug"]["resetTime"]
    assert abs(seconds_until(first) - 3600) < 20
    assert len(first) == len("2026-01-09T15:23:13.716839300Z")
    control.patch_account("ann", research_remaining=1)
    assert trailer(raw.ask())["details"][0]["debug"]["resetTime"] == first
    shown = raw.call(STATS).json["ratelimitCode5h"]["resetTime"]
    assert shown == first[: len("2026-01-09T15:23:13.716")] + "Z"
    control.patch_account("ann", reset_seconds=0)
    assert "resetTime" not in trailer(raw.ask())["details"][0]["debug"]
    assert "resetTime" not in raw.call(STATS).json["ratelimitCode5h"]


def test_all_other_calls_of_a_spent_account_work(control: EmulatorControl, raw: Raw) -> None:
    """Chats can be listed and deleted, tokens exchanged."""
    account = control.patch_account("ann", state="spent")
    chat = control.open_chat("ann")["id"]
    assert raw.call("kimi.gateway.chat.v1.ChatService/ListMessages", chat_id=chat).status == 200
    assert raw.call("kimi.gateway.chat.v1.ChatService/DeleteChat", chat_id=chat).status == 200
    path = "/api/account.gateway.v1.AuthService/RefreshToken"
    assert Raw(control, "").legacy("POST", path, refresh_token=account.refresh_token).status == 200
    assert raw.legacy("GET", "/api/chat/research/usage").json["remain"] == 5


@pytest.mark.parametrize(
    ("settings", "ratio"),
    [({}, None), ({"used_ratio": 0.25}, 0.25), ({"state": "spent", "used_ratio": 0.25}, 1)],
    ids=str,
)
def test_the_figures_of_usage(
    control: EmulatorControl, raw: Raw, settings: dict[str, Any], ratio: float | None
) -> None:
    """A ratio is absent when nothing is used; a spent account has used all."""
    control.patch_account("ann", **settings)
    stats = raw.call(STATS).json
    windows = [stats["ratelimitCode5h"], stats["ratelimitCode7d"]]
    assert [window.get("ratio") for window in windows] == [ratio, ratio]
    assert all(window["enabled"] for window in windows)
    balance = stats["subscriptionBalance"]
    assert [balance.get(key) for key in ("amountUsedRatio", "kimiCodeUsedRatio")] == [ratio, ratio]
    assert balance["feature"] == "FEATURE_OMNI"


@pytest.mark.parametrize("wrong", [{"used_ratio": 1.5}, {"used_ratio": -1}, {"reset_seconds": -1}], ids=str)
def test_figures_that_cannot_be_are_refused(control: EmulatorControl, raw: Raw, wrong: dict[str, float]) -> None:
    """And change nothing, also not what stands beside them."""
    with pytest.raises(ControlError, match=next(iter(wrong))):
        control.patch_account("ann", **{"state": "spent", **wrong})
    assert "ratio" not in raw.call(STATS).json["ratelimitCode5h"]
