"""What is asked of the Connect sites, and their unary answers."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import Continuation
from app.errors import UpstreamProtocolError
from app.kimi.connect import (
    STREAM_TYPE,
    ConnectPlan,
    available_models,
    chat_request,
    last_assistant_message,
    rpc,
)
from app.kimi.http import HttpAnswer
from app.kimi.turn import Turn
from config.models import ModelEntry
from tests.kimi.answers import json_answer, page
from tests.kimi.bodies import body_of
from tests.kimi.streams import capture

SITE: Final = "https://www.kimi.example"
PLAN: Final = ConnectPlan(scenario="SCENARIO_K2D5")


def framed(
    plan: ConnectPlan = PLAN, continues: Continuation | None = None, files: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The JSON inside the one frame of a chat request."""
    body = body_of(chat_request(SITE, "the-token", plan, Turn("Hi 你好", files), continues))
    assert body[0] == 0
    assert int.from_bytes(body[1:5], "big") == len(body) - 5
    value: dict[str, Any] = json.loads(body[5:])
    return value


# --- Requests -----------------------------------------------------------------------------------------


def test_new_chat() -> None:
    """A new chat is asked for with exactly these members: no ids, not even empty ones."""
    assert framed() == {
        "scenario": "SCENARIO_K2D5",
        "tools": [],
        "message": {
            "role": "user",
            "blocks": [{"message_id": "", "text": {"content": "Hi 你好"}}],
            "scenario": "SCENARIO_K2D5",
            "is_goal": False,
        },
        "options": {"thinking": False, "enable_plugin": False},
        "project_id": "",
    }


def test_every_option() -> None:
    """A plan's options stand where the site has them, and its scenario at both places."""
    plan = ConnectPlan(
        scenario="SCENARIO_OK_COMPUTER",
        model="k3-agent",
        kimiplus_id="ok-computer",
        agent_mode="TYPE_NORMAL",
        thinking=True,
        effort="REASONING_EFFORT_MAX",
        tools=("TOOL_TYPE_SEARCH", "TOOL_TYPE_ASK_USER"),
    )
    assert framed(plan, Continuation("chat-1", "message-1")) == {
        "scenario": "SCENARIO_OK_COMPUTER",
        "chat_id": "chat-1",
        "tools": [{"type": "TOOL_TYPE_SEARCH", "search": {}}, {"type": "TOOL_TYPE_ASK_USER"}],
        "message": {
            "parent_id": "message-1",
            "role": "user",
            "blocks": [{"message_id": "", "text": {"content": "Hi 你好"}}],
            "scenario": "SCENARIO_OK_COMPUTER",
            "is_goal": False,
        },
        "options": {
            "thinking": True,
            "enable_plugin": False,
            "reasoning_effort": "REASONING_EFFORT_MAX",
            "model": "k3-agent",
        },
        "project_id": "",
        "kimiplus_id": "ok-computer",
        "agent_mode": "TYPE_NORMAL",
    }


def test_chat_without_a_known_tip() -> None:
    """A chat whose last message is not known is continued by its id alone."""
    body = framed(continues=Continuation("chat-1"))
    assert body["chat_id"] == "chat-1"
    assert "parent_id" not in body["message"]


def test_files_stand_behind_the_text() -> None:
    """Each as a block of its own that says it has been read, in their order."""
    (captured,) = [row for row in capture("02") if row["step"] == "chat with file"]
    text, file = captured["request"]["message"]["blocks"]
    file_id = file["file"]["id"]
    assert framed(files=(file_id, "file-2"))["message"]["blocks"] == [
        {**text, "text": {"content": "Hi 你好"}},
        file,
        {"file": {"id": "file-2", "status": "PROCESS_STATUS_SUCCESS"}},
    ]


def test_files_change_nothing_else() -> None:
    """The request is the same but for its blocks."""
    plain, filed = framed(), framed(files=("file-1",))
    filed["message"]["blocks"] = filed["message"]["blocks"][:1]
    assert filed == plain


def test_files_go_with_a_turn_of_a_conversation_too() -> None:
    """Not only with its first."""
    message = framed(continues=Continuation("chat-1", "message-1"), files=("file-1",))["message"]
    assert message["parent_id"] == "message-1"
    assert message["blocks"][1:] == [{"file": {"id": "file-1", "status": "PROCESS_STATUS_SUCCESS"}}]


def test_chat_request_is_addressed() -> None:
    """A chat goes to the site's Chat call under these headers and no others."""
    request = chat_request(SITE, "the-token", PLAN, Turn("Hi"), None)
    assert (request.method, request.url) == (
        "POST",
        "https://www.kimi.example/apiv2/kimi.gateway.chat.v1.ChatService/Chat",
    )
    assert STREAM_TYPE == "application/connect+json"
    assert request.headers == {
        "Authorization": "Bearer the-token",
        "Content-Type": "application/connect+json",
        "connect-protocol-version": "1",
        "Origin": "https://www.kimi.example",
        "Referer": "https://www.kimi.example/",
        "x-msh-platform": "web",
        "x-msh-version": "2.2.0",
    }


def test_unary_call() -> None:
    """A unary call is bare JSON."""
    request = rpc(SITE, "the-token", "a.v1.Service/Method", {"chat_id": "c"})
    assert (request.method, request.url, request.body) == (
        "POST",
        "https://www.kimi.example/apiv2/a.v1.Service/Method",
        b'{"chat_id":"c"}',
    )
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer the-token"


def test_requests_hide_the_token() -> None:
    """Neither the token nor the text stands in a request's repr."""
    shown = repr(chat_request(SITE, "the-token", PLAN, Turn("the text"), None))
    assert "the-token" not in shown
    assert "the text" not in shown


# --- The tip of a chat --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"id": "m4", "role": "assistant"}, {"id": "m3", "role": "user"}, {"id": "m2", "role": "assistant"}], "m4"),
        ([{"id": "m3", "role": "user"}, {"id": "m2", "role": "assistant"}], "m2"),
        ([{"id": "m2", "role": "ROLE_ASSISTANT"}], "m2"),
        ([{"id": "m1", "role": "user"}, {"id": "m0", "role": "system"}], None),
        ([{"role": "assistant"}], None),
        ([], None),
        ([None, 7, "x", []], None),
        ({}, None),
    ],
)
def test_tip_is_the_newest_assistant_message(messages: object, expected: str | None) -> None:
    """The list is newest first: the first message of the assistant's is the tip."""
    assert expected == last_assistant_message(json_answer({"messages": messages}))


@pytest.mark.parametrize("answer", [page(200), HttpAnswer(200, {}, b"")], ids=["page", "nothing"])
def test_tip_in_an_answer_that_is_no_json(answer: HttpAnswer) -> None:
    """A page in place of the list is an error of the protocol."""
    with pytest.raises(UpstreamProtocolError):
        last_assistant_message(answer)


# --- Models -------------------------------------------------------------------------------------------------


def captured_models() -> Any:  # noqa: ANN401
    """The answer of kimi.ai in September 2026."""
    (row,) = [row for row in capture("02") if row["step"] == "models"]
    return row["response"]


def test_captured_models() -> None:
    """The captured list gives its four models, the default first."""
    efforts = ("REASONING_EFFORT_LOW", "REASONING_EFFORT_HIGH", "REASONING_EFFORT_MAX")
    agent: dict[str, Any] = {
        "kimiplus_id": "ok-computer",
        "efforts": efforts,
        "default_effort": "REASONING_EFFORT_HIGH",
    }
    assert available_models(json_answer(captured_models())) == (
        ModelEntry(
            scenario="SCENARIO_CHAT",
            key="k2d6",
            title="Instant",
            model="k2d6-chat",
            efforts=("REASONING_EFFORT_NONE", "REASONING_EFFORT_LOW"),
            default_effort="REASONING_EFFORT_LOW",
        ),
        ModelEntry(
            scenario="SCENARIO_OK_COMPUTER",
            key="k28-preview",
            title="K2.8",
            model="k28-agent-preview",
            agent_mode="TYPE_NORMAL",
            **agent,
        ),
        ModelEntry(
            scenario="SCENARIO_OK_COMPUTER",
            key="k3",
            title="K3",
            model="k3-agent",
            agent_mode="TYPE_NORMAL",
            **agent,
        ),
        ModelEntry(
            scenario="SCENARIO_OK_COMPUTER_SWARM",
            key="k3-agent-ultra",
            title="K3 Swarm",
            model="k3-agent-swarm",
            agent_mode="TYPE_ULTRA",
            **agent,
        ),
    )


def test_default_model_comes_first() -> None:
    """The default leads wherever the site lists it; the others keep their order."""
    answer = captured_models()
    answer["defaultScenario"] = {"scenario": "SCENARIO_OK_COMPUTER", "model": "k3-agent"}
    assert [entry.key for entry in available_models(json_answer(answer))] == [
        "k3",
        "k2d6",
        "k28-preview",
        "k3-agent-ultra",
    ]


def test_models_in_snake_case() -> None:
    """The list may come in the other spelling."""
    answer = {
        "available_models": [
            {
                "scenario": "S",
                "display_name": "T",
                "kimi_plus_id": "p",
                "agent_mode": "A",
                "id": "m",
                "key": "k",
                "thinking": True,
                "reasoning_effort_options": [{"effort": "E"}],
                "default_reasoning_effort": "E",
            }
        ]
    }
    assert available_models(json_answer(answer)) == (
        ModelEntry("S", "k", "T", "m", "p", "A", ("E",), "E", thinking=True),
    )


@pytest.mark.parametrize("thinking", [True, False, None])
def test_thinking_switch(thinking: bool | None) -> None:  # noqa: FBT001
    """A model may have its thinking fixed."""
    answer = {"availableModels": [{"scenario": "S", "thinking": thinking}]}
    assert [entry.thinking for entry in available_models(json_answer(answer))] == [thinking]


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        json_answer(None),
        json_answer([]),
        json_answer({}),
        json_answer({"availableModels": {}}),
        json_answer({"availableModels": [None, 7, "x", [], {}, {"scenario": 7}, {"id": "m"}]}),
    ],
)
def test_list_of_an_unknown_shape(answer: HttpAnswer) -> None:
    """What cannot be read offers nothing."""
    assert available_models(answer) == ()


def test_members_of_other_types() -> None:
    """A member of another type counts as missing, new members do not matter."""
    drifted = {
        "scenario": "S",
        "key": 7,
        "id": None,
        "displayName": {},
        "kimiPlusId": "",
        "agentMode": [],
        "label": "a string",
        "reasoningEffortOptions": [{"effort": 7}, "x", {"effort": "E"}],
        "defaultReasoningEffort": 7,
        "thinking": "yes",
        "hologram": {},
    }
    assert available_models(json_answer({"availableModels": [drifted], "defaultScenario": 7})) == (
        ModelEntry("S", efforts=("E",)),
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["availableModels", "defaultScenario", "scenario", "id", "messages", "role", "effort"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json(value: object) -> None:
    """Arbitrary JSON never raises."""
    available_models(json_answer(value))
    last_assistant_message(json_answer(value))
