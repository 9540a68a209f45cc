"""The unary calls around a chat."""

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import Raw, frames

pytestmark = pytest.mark.e2e

CHATS = "kimi.gateway.chat.v1.ChatService"
OLD_CHATS = "kimi.chat.v1.ChatService"
MODELS = "kimi.gateway.config.v1.ConfigService/GetAvailableModels"


@pytest.fixture
def chat_id(control: EmulatorControl, raw: Raw) -> str:
    """Give a chat of the account with one question and one answer."""
    return control.open_chat("ann")["id"]


def test_messages_come_newest_first(raw: Raw, chat_id: str) -> None:
    """With their blocks inline, the tip in front."""
    messages = raw.call(f"{CHATS}/ListMessages", chat_id=chat_id, page_size=50).json["messages"]
    assert [item["role"] for item in messages] == ["assistant", "user", "system"]
    assert messages[0]["parentId"] == messages[1]["id"]
    assert messages[0]["blocks"][0]["text"]["content"] == "The answer to it"


def test_lists_come_in_pages(raw: Raw, chat_id: str) -> None:
    """A token leads to the next page; the last one has none."""
    first = raw.call(f"{CHATS}/ListMessages", chatId=chat_id, pageSize=2).json
    assert len(first["messages"]) == 2
    rest = raw.call(f"{CHATS}/ListMessages", chat_id=chat_id, page_size=2, page_token=first["nextPageToken"]).json
    assert [item["role"] for item in rest["messages"]] == ["system"]
    assert "nextPageToken" not in rest


def test_a_chat_and_the_list_of_chats(control: EmulatorControl, raw: Raw, chat_id: str) -> None:
    """Newest first, and only one's own."""
    newer = control.open_chat("ann")["id"]
    control.account("ben")
    control.open_chat("ben")
    assert raw.call(f"{CHATS}/GetChat", chat_id=chat_id).json["chat"]["id"] == chat_id
    listed = raw.call(f"{CHATS}/ListChats", page_size=10).json["chats"]
    assert [item["id"] for item in listed] == [newer, chat_id]


@pytest.mark.parametrize("service", [CHATS, OLD_CHATS])
def test_delete_works_in_either_service(control: EmulatorControl, raw: Raw, chat_id: str, service: str) -> None:
    """Once; after that there is no such chat."""
    assert raw.call(f"{service}/DeleteChat", chat_id=chat_id).json == {}
    again = raw.call(f"{service}/DeleteChat", chat_id=chat_id)
    assert (again.status, again.json["code"]) == (404, "not_found")
    assert control.chats()[0]["deleted"]


def test_batch_delete_passes_over_what_is_not_there(control: EmulatorControl, raw: Raw, chat_id: str) -> None:
    """Every chat of the list that can go, goes."""
    other = control.open_chat("ann")["id"]
    assert raw.call(f"{OLD_CHATS}/BatchDeleteChats", chat_ids=[chat_id, "?", other]).json == {}
    assert all(chat["deleted"] for chat in control.chats())


@pytest.mark.parametrize("service", [CHATS, OLD_CHATS])
def test_cancel_stops_the_running_answer(control: EmulatorControl, raw: Raw, service: str) -> None:
    """The stream ends at once and well-formed, without a COMPLETED."""
    control.plan({"text": "abc", "piece": 1, "delay": 5})
    with raw.streaming() as response:
        received = b""
        while b"block.text" not in received:
            received += response.read1(4096)
        (chat,) = control.chats()
        wanted = {"chat_id": chat["id"], "message_id": chat["messages"][2]["id"]}
        assert raw.call(f"{service}/CancelChat", **wanted).json == {}
        received += response.read()
    events = frames(received)
    assert events[-1] == (2, {})
    assert "done" in events[-2][1]
    assert b"COMPLETED" not in received.split(b"block.text")[1]
    assert control.chats()[0]["cancelled"]


def test_cancel_wants_the_message_of_the_assistant(raw: Raw, chat_id: str) -> None:
    """Another id is an invalid argument."""
    answered = raw.call(f"{CHATS}/CancelChat", chat_id=chat_id, message_id=chat_id)
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")


def test_the_models_of_the_capture_and_of_a_test(control: EmulatorControl, raw: Raw) -> None:
    """By default the live list; replaced or broken on demand, and restored."""
    live = raw.call(MODELS).json
    assert [item["id"] for item in live["availableModels"]] == [
        "k2d6-chat",
        "k28-agent-preview",
        "k3-agent",
        "k3-agent-swarm",
    ]
    assert live["defaultScenario"] == {"scenario": "SCENARIO_CHAT", "model": "k2d6-chat"}
    control.models({"availableModels": []})
    assert raw.call(MODELS).json == {"availableModels": []}
    control.models(status=500)
    assert raw.call(MODELS).status == 500
    control.models()
    assert raw.call(MODELS).json == live


def test_the_cheap_checks_of_a_token(raw: Raw) -> None:
    """User and subscription."""
    assert raw.call("kimi.gateway.account.v1.UserService/GetCurrentUser").json["user"]["id"]
    assert raw.call("kimi.gateway.order.v1.SubscriptionService/GetSubscription").status == 200


def test_an_unknown_call_is_not_found(raw: Raw) -> None:
    """As JSON with 404; and every call wants POST."""
    unknown = raw.call(f"{CHATS}/CreateChat")
    assert (unknown.status, unknown.json["code"]) == (404, "not_found")
    got = raw.send("GET", f"/apiv2/{CHATS}/GetChat", None, {})
    assert (got.status, got.headers["allow"]) == (405, "POST")


def test_a_body_of_the_wrong_shape_is_an_invalid_argument(raw: Raw) -> None:
    """Not JSON, not an object, a field of the wrong type."""
    for body in (b"{", b"[]", b'{"chat_id":1}'):
        answered = raw.send("POST", f"/apiv2/{CHATS}/GetChat", body, {"content-type": "application/json"})
        assert (answered.status, answered.json["code"]) == (400, "invalid_argument")
