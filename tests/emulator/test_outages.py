"""Unary calls that fail on demand."""

from typing import Any

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import Raw, answer_text

pytestmark = pytest.mark.e2e

CHATS = "kimi.gateway.chat.v1.ChatService"
OLD_CHATS = "kimi.chat.v1.ChatService"


def test_a_call_fails_so_many_times(control: EmulatorControl, raw: Raw) -> None:
    """In either service, and nothing is deleted before it works again."""
    chat = control.open_chat("ann")["id"]
    control.unary("DeleteChat", 503, times=2)
    for service in (CHATS, OLD_CHATS):
        failed = raw.call(f"{service}/DeleteChat", chat_id=chat)
        assert (failed.status, failed.json["code"]) == (503, "unavailable")
        assert not control.chats()[0]["deleted"]
    assert raw.call(f"{CHATS}/DeleteChat", chat_id=chat).json == {}
    assert [entry["status"] for entry in control.calls("/DeleteChat")] == [503, 503, 200]


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("BatchDeleteChats", 500, "internal"),
        ("ListMessages", 429, "resource_exhausted"),
        ("CancelChat", 418, "unknown"),
    ],
)
def test_a_call_fails_until_it_is_restored(
    control: EmulatorControl, raw: Raw, call: str, status: int, code: str
) -> None:
    """With the code of its status; other calls and the answers go on."""
    chat = control.open_chat("ann")["id"]
    fields: dict[str, Any] = {"chat_id": chat, "chat_ids": [chat]}
    control.unary(call, status)
    for _ in range(3):
        failed = raw.call(f"{CHATS}/{call}", **fields)
        assert (failed.status, failed.json["code"]) == (status, code)
    assert raw.call(f"{CHATS}/GetChat", chat_id=chat).status == 200
    control.plan({"text": "a"})
    assert answer_text(raw.ask().frames) == "a"
    control.unary()
    assert raw.call(f"{CHATS}/{call}", **fields).status != status


def test_deleting_fails_on_the_legacy_site(control: EmulatorControl, raw: Raw) -> None:
    """Under a name of its own; the Connect site's call works."""
    path = f"/api/chat/{raw.legacy('POST', '/api/chat', name='n').json['id']}"
    control.unary("legacy-delete", 502, times=1)
    assert raw.call(f"{CHATS}/DeleteChat", chat_id=control.open_chat("ann")["id"]).status == 200
    failed = raw.legacy("DELETE", path)
    assert (failed.status, failed.json["error_type"]) == (502, "internal.error")
    assert raw.legacy("DELETE", path).status == 200


def test_who_is_not_let_in_uses_nothing_up(control: EmulatorControl, raw: Raw) -> None:
    """The bearer is looked at first."""
    control.unary("ListChats", 503, times=1)
    assert Raw(control, "forged").call(f"{CHATS}/ListChats").status == 401
    assert raw.call(f"{CHATS}/ListChats").status == 503


def test_orders_stand_side_by_side_until_a_reset(control: EmulatorControl, raw: Raw) -> None:
    """Each call has its own, and a new one replaces it."""
    control.unary("ListChats", 503)
    control.unary("GetChat", 500)
    control.unary("ListChats", 502)
    assert raw.call(f"{CHATS}/ListChats").status == 502
    assert raw.call(f"{CHATS}/GetChat").status == 500
    control.reset()
    raw.token = control.account("ann").access_token
    assert raw.call(f"{CHATS}/ListChats").status == 200


@pytest.mark.parametrize(
    ("call", "status", "times", "word"),
    [
        ("Chat", 503, 0, "no unary call"),
        (None, 503, 0, "no unary call"),
        ("GetChat", 200, 0, "status"),
        ("GetChat", None, 0, "status"),
        ("GetChat", 503, -1, "times"),
    ],
)
def test_mistakes_are_told(
    control: EmulatorControl, call: str | None, status: int | None, times: int, word: str
) -> None:
    """An order that nobody would carry out is refused."""
    with pytest.raises(ControlError, match=word):
        control.unary(call, status, times)


@pytest.mark.parametrize("service", [CHATS, OLD_CHATS])
def test_a_batch_is_logged_with_its_chats(control: EmulatorControl, raw: Raw, service: str) -> None:
    """Body and account, in either service, also when the call fails."""
    chat = control.open_chat("ann")["id"]
    control.unary("BatchDeleteChats", 503, times=1)
    for _ in range(2):
        raw.call(f"{service}/BatchDeleteChats", chat_ids=[chat])
    entries = control.calls("/BatchDeleteChats")
    assert [(entry["path"], entry["account"], entry["status"]) for entry in entries] == [
        (f"/apiv2/{service}/BatchDeleteChats", "ann", status) for status in (503, 200)
    ]
    assert [entry["request"] for entry in entries] == [{"chat_ids": [chat]}] * 2
