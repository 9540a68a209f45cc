"""The Chat call: what is refused, and the order of a turn."""

import json
import struct
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import CHAT, STREAM, Answered, Frame, Raw, answer_text, frame, question

pytestmark = pytest.mark.e2e

SEARCH = [{"title": "T", "url": "https://example.com/t", "siteName": "S", "snippet": "x"}]


def trailer_code(answered: Answered) -> object:
    """Give the error code of an answer that must be nothing but an end-stream frame."""
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/connect+json"
    ((flags, payload),) = answered.frames
    assert flags == 2
    return payload["error"]["code"]


def kinds(events: list[Frame]) -> list[str]:
    """Name each event by its mask, or by what it carries."""
    carried = ("heartbeat", "chat", "message", "block", "notification", "done")
    return [event.get("mask") or next((key for key in carried if key in event), "end") for _, event in events]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        json.dumps(question()).encode(),
        frame(question()) + frame(question()),
        frame(question())[:-1],
        struct.pack(">BI", 1, 2) + b"{}",
        frame([]),
        struct.pack(">BI", 0, 1) + b"{",
        frame(question("half a pair: \ud800")),
    ],
    ids=["empty", "bare json", "two frames", "short", "compressed", "a list", "broken json", "half a surrogate pair"],
)
def test_anything_but_one_frame_is_an_invalid_argument(raw: Raw, body: bytes) -> None:
    """The error comes in the trailer, under HTTP 200."""
    assert trailer_code(raw.send("POST", CHAT, body, STREAM)) == "invalid_argument"


@pytest.mark.parametrize(
    "change",
    [
        {"scenario": "SCENARIO_CHAT"},
        {"scenario": "SCENARIO_NOVEL"},
        {"chat_id": ""},
        {"chatId": ""},
        {"parent_id": ""},
        {"parent_id": "nobody"},
        {"id": "nobody"},
        {"message": None},
        {"tools": "search"},
    ],
    ids=str,
)
def test_a_wrong_field_is_an_invalid_argument(raw: Raw, change: dict[str, Any]) -> None:
    """Each of these was said to be refused, or contradicts the request itself."""
    assert trailer_code(raw.ask(**change)) == "invalid_argument"


def test_a_scenario_of_the_model_list_is_known(control: EmulatorControl, raw: Raw) -> None:
    """The list is read at run time, by both sides."""
    control.models({"availableModels": [{"scenario": "SCENARIO_NOVEL", "id": "n"}]})
    control.plan({"text": "a"})
    wanted = question(scenario="SCENARIO_NOVEL")
    wanted["message"]["scenario"] = "SCENARIO_NOVEL"
    assert raw.send("POST", CHAT, frame(wanted), STREAM).frames[-1] == (2, {})


def test_wrong_verb_and_wrong_type(raw: Raw) -> None:
    """GET names the allowed verb; a unary type is not spoken here."""
    got = raw.send("GET", CHAT, None, {})
    assert (got.status, got.headers["allow"]) == (405, "POST")
    plain = raw.send("POST", CHAT, frame(question()), {"content-type": "application/json"})
    assert plain.status == 415


def test_an_unknown_deleted_or_foreign_chat_is_not_found(control: EmulatorControl, raw: Raw) -> None:
    """Three ways to have no chat."""
    control.account("ben")
    mine, other = control.open_chat("ann")["id"], control.open_chat("ben")["id"]
    assert raw.call("kimi.gateway.chat.v1.ChatService/DeleteChat", chat_id=mine).json == {}
    for chat_id in ("unknown", mine, other):
        assert trailer_code(raw.ask(chat_id=chat_id)) == "not_found"


def test_a_new_chat_with_thinking_and_search(control: EmulatorControl, raw: Raw) -> None:
    """The order of two live captures, from the first heartbeat to the empty trailer."""
    control.plan({"text": "ab{{cite:0}}", "thinking": "t1t2", "search": SEARCH, "piece": 2})
    answered = raw.ask("a question of a certain length")
    tool = "block.tool."
    assert kinds(answered.frames) == [
        *("heartbeat", "chat", "chat.lastRequest", "message", "message", "message", "heartbeat"),
        *("block.multiStage", "block.stage", "block.think", "chat.name", "block"),
        *([tool + "args"] * 5),
        f"{tool}args,{tool}status,{tool}toolCallId",
        *("block.think.summary", "message.refs.searchChunks"),
        ",".join(tool + part for part in ("contents", "isError", "errorCode", "status", "action", "paywall")),
        *("block.think", "block.multiStage", "block.stage"),
        *("block.text", "message.references", "block.text.content"),
        *("message.status", "done", "end"),
    ]
    assert answered.frames[0] == (0, {"heartbeat": {}})
    assert answered.frames[-1] == (2, {})


def test_offsets_rise_by_one_and_heartbeats_repeat_them(control: EmulatorControl, raw: Raw) -> None:
    """A client may use them to see gaps."""
    control.plan({"text": "some words", "thinking": "first"})
    last = 0
    for _, event in raw.ask().frames[1:-1]:
        last += "heartbeat" not in event
        assert event["eventOffset"] == last


def test_the_tree_of_messages(control: EmulatorControl, raw: Raw) -> None:
    """System message, user, assistant; each the child of the one before, the root the chat."""
    control.plan({"text": "a"})
    events = raw.ask().frames
    messages = [event["message"] for _, event in events if "message" in event][:3]
    system, user, assistant = messages
    assert events[1][1]["chat"]["id"] == system["id"] == user["parentId"]
    assert user["id"] == assistant["parentId"]
    assert [item["role"] for item in messages] == ["system", "user", "assistant"]
    assert assistant["status"] == "MESSAGE_STATUS_GENERATING"
    assert all(len(item["id"]) == 36 for item in messages)


def test_the_first_set_of_text_already_holds_text(control: EmulatorControl, raw: Raw) -> None:
    """And append goes on from there, in an instant turn without stages."""
    control.plan({"text": "abcdef", "piece": 3})
    events = raw.ask().frames
    first = next(event for _, event in events if event.get("mask") == "block.text")
    assert first["block"]["text"]["content"] == "abc"
    assert answer_text(events) == "abcdef"
    assert "block.multiStage" not in kinds(events)


def test_the_echo_is_in_camel_case(control: EmulatorControl, raw: Raw) -> None:
    """Both cases are read, even mixed; unknown tools are dropped; the default model filled in."""
    control.plan({"text": "a"})
    wanted = question(
        scenario="SCENARIO_CHAT",
        tools=[{"type": "TOOL_TYPE_SEARCH", "search": {}}, {"type": "TOOL_TYPE_MAGIC"}],
        options={"thinking": False, "enable_plugin": True, "reasoningEffort": "LOW"},
    )
    wanted["message"]["scenario"] = "SCENARIO_CHAT"
    events = raw.send("POST", CHAT, frame(wanted), STREAM).frames
    (echo,) = [event for _, event in events if event.get("mask") == "chat.lastRequest"]
    assert echo["chat"]["lastRequest"] == {
        "options": {
            "thinking": False,
            "enablePlugin": True,
            "reasoningEffort": "LOW",
            "model": "k2d6-chat",
        },
        "tools": [{"type": "TOOL_TYPE_SEARCH", "search": {}}],
        "scenario": "SCENARIO_CHAT",
    }


def test_a_second_turn_hangs_on_the_first(control: EmulatorControl, raw: Raw) -> None:
    """No chat and no system frame, and the parent that was asked for."""
    control.plan({"text": "one"}, {"text": "two"})
    raw.ask("q1")
    (chat,) = control.chats()
    tip = chat["messages"][-1]["id"]
    events = raw.ask("q2", chat_id=chat["id"], parent_id=tip).frames
    assert kinds(events)[:4] == ["heartbeat", "chat.lastRequest", "message", "message"]
    assert "chat.name" not in kinds(events)
    (chat,) = control.chats()
    assert [(item["role"], item["text"]) for item in chat["messages"]] == [
        ("system", ""),
        ("user", "q1"),
        ("assistant", "one"),
        ("user", "q2"),
        ("assistant", "two"),
    ]
    assert chat["messages"][3]["parent_id"] == tip


def test_without_parent_the_turn_hangs_on_the_tip(control: EmulatorControl, raw: Raw) -> None:
    """The chat id alone was enough for one author."""
    chat = control.open_chat("ann")
    control.plan({"text": "a"})
    raw.ask(chat_id=chat["id"])
    assert control.chats()[0]["messages"][3]["parent_id"] == chat["messages"][-1]["id"]


def test_the_same_message_id_edits(control: EmulatorControl, raw: Raw) -> None:
    """The question is replaced and answered again."""
    chat = control.open_chat("ann")
    asked = chat["messages"][1]["id"]
    control.plan({"text": "again"})
    answered = raw.ask("better", chat_id=chat["id"], id=asked, parent_id=chat["id"])
    assert answer_text(answered.frames) == "again"
    messages = control.chats()[0]["messages"]
    assert (messages[1]["text"], len(messages)) == ("better", 4)
    assert messages[3]["parent_id"] == asked


def test_too_many_streams_at_once(control: EmulatorControl, raw: Raw) -> None:
    """The second is refused while the first runs, and let in once that has left."""
    control.patch_account("ann", max_streams=1)
    control.plan({"faults": {"stall_after": 8}})
    with raw.streaming() as first:
        assert first.read1(1)
        assert trailer_code(raw.ask()) == "resource_exhausted"
    control.wait_for_log(lambda entries: entries[0]["client_closed"])
    control.plan({"text": "free"})
    assert answer_text(raw.ask().frames) == "free"


def test_the_default_answer_is_made_for_a_demo(raw: Raw) -> None:
    """It says what it is, quotes the question, thinks and searches when asked to."""
    options: dict[str, Any] = {"tools": [{"type": "TOOL_TYPE_SEARCH"}]}
    options["options"] = {"thinking": True}
    events = raw.ask("x" * 80, **options).frames
    assert "emulator of Kimi" in answer_text(events)
    assert "x" * 60 in answer_text(events)
    assert "x" * 61 not in answer_text(events)
    assert "block.think" in kinds(events)
    (chunks,) = [event for _, event in events if event.get("mask") == "message.refs.searchChunks"]
    found = chunks["message"]["refs"]["searchChunks"]
    assert [item["refIndex"] for item in found] == ["web_search:1#0", "web_search:1#1"]
    assert all(item["base"]["url"].startswith("https://example.com/") for item in found)
    assert answer_text(events).count("\ue3a0cite") == 2
