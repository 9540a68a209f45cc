"""What the calls of a model take."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.prompt import prompt_tokens
from app.chat.request import ChatRequest, Choice, Effort, JsonFormat, Message, Role, ToolSpec, ToolUse
from app.chat.tokens import estimate
from app.dialects.gemini.schemas import GenerateCall, generate_call, model_name, token_count
from app.errors import InvalidRequest

HI = [{"role": "user", "parts": [{"text": "hi"}]}]
THOUGHT = {"role": "model", "parts": [{"text": "let me think of it", "thought": True}, {"text": "hello"}]}


def read(session: str | None = None, **body: Any) -> GenerateCall:  # noqa: ANN401 # a body's fields
    """What a body with these fields asks of the model `kimi`."""
    return generate_call("kimi", {"contents": HI, **body}, session)


def refused(**body: Any) -> InvalidRequest:  # noqa: ANN401 # as for `read`
    """The error for a body with these fields."""
    with pytest.raises(InvalidRequest) as caught:
        read(**body)
    return caught.value


def test_a_question_is_all_that_is_needed() -> None:
    """Everything else is as the model's name has it."""
    assert read() == GenerateCall(ChatRequest("kimi", (Message.of(Role.USER, "hi"),)))


@pytest.mark.parametrize("snake", [True, False])
def test_every_field_is_read(*, snake: bool) -> None:
    """In either spelling."""
    camel: dict[str, Any] = {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "stopSequences": ["x"],
            "maxOutputTokens": 7,
            "responseMimeType": "application/json",
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 0},
        },
    }
    names = {"systemInstruction": "system_instruction", "toolConfig": "tool_config"}
    names["generationConfig"] = "generation_config"
    body = {names.get(name, name): value for name, value in camel.items()} if snake else camel
    assert read("session-1", **body, safetySettings=[7], labels=7, model="models/other", store=True) == GenerateCall(
        ChatRequest(
            "kimi",
            (Message.of(Role.SYSTEM, "Be kind."), Message.of(Role.USER, "hi")),
            use_search=True,
            effort=Effort.NONE,
            session="session-1",
            tools=ToolUse((ToolSpec("f"),), Choice.REQUIRED),
            form=JsonFormat("{}"),
            stop=("x",),
            max_tokens=7,
        ),
        shows_thoughts=True,
    )


def test_the_gateway_s_own_fields_win() -> None:
    """Over what Google's ask for."""
    request = read(
        use_search=False,
        conversation_id="none",
        reasoning_effort="high",
        tools=[{"googleSearch": {}}],
        generationConfig={"thinkingConfig": {"thinkingBudget": 0}},
    ).request
    assert [request.use_search, request.keep, request.conversation_id, request.effort] == [
        False,
        True,
        None,
        Effort.HIGH,
    ]
    assert read(conversation_id="chat-1").request.conversation_id == "chat-1"


def test_a_bare_answer_is_told_of() -> None:
    """It is a matter of the answer's form alone."""
    schema = {"type": "STRING", "enum": ["a"]}
    assert read(generationConfig={"responseMimeType": "text/x.enum", "responseSchema": schema}).bare


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": None}, "contents"),
        ({"contents": [{"parts": [{"text": " "}]}]}, "contents"),
        ({"contents": [{"parts": []}]}, "contents"),
        ({"contents": [{"parts": [{"text": 7}]}]}, "contents[0].parts[0].text"),
        ({"cachedContent": "cachedContents/a"}, "cachedContent"),
        ({"cached_content": "cachedContents/a"}, "cached_content"),
        ({"system_instruction": {"parts": [7]}}, "system_instruction.parts[0]"),
        ({"generationConfig": 7}, "generationConfig"),
        ({"generation_config": {"candidate_count": 2}}, "generation_config.candidate_count"),
        ({"use_search": "yes"}, "use_search"),
        ({"conversation_id": "a b"}, "conversation_id"),
        ({"reasoning_effort": "wild"}, "reasoning_effort"),
    ],
)
def test_what_cannot_be_understood_is_refused(body: dict[str, Any], param: str) -> None:
    """Under the name that the client gave it."""
    error = refused(**body)
    assert error.param == param
    assert error.message.startswith(param)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("kimi", "kimi"),
        ("models/kimi", "kimi"),
        ("tunedModels/mine", "mine"),
        ("org/some.model:free", "org/some.model:free"),
        ("models/org/x", "org/x"),
    ],
)
def test_a_model_is_named_without_its_collection(written: str, name: str) -> None:
    """Clients name it either way."""
    assert model_name(written) == name


@pytest.mark.parametrize("written", ["", "models/", "../x", "a\nb", "x" * 257])
def test_what_is_no_name_is_refused(written: str) -> None:
    """It is repeated in the answer."""
    with pytest.raises(InvalidRequest) as caught:
        model_name(written)
    assert caught.value.param == "model"


BODY: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "How is the weather in Oslo?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "It rains."}}}]},
    ],
    "systemInstruction": "Answer like a pirate.",
    "tools": [{"functionDeclarations": [{"name": "weather", "description": "Tells the weather of a city."}]}],
}


def test_one_body_has_one_count() -> None:
    """Whether it is asked for alone, inside of another, or told with the answer."""
    counted = token_count("kimi", BODY)
    assert token_count("kimi", {"generateContentRequest": {"model": "models/kimi", **BODY}}) == counted
    assert token_count("kimi", {"generate_content_request": BODY, "contents": []}) == counted
    assert prompt_tokens(generate_call("kimi", BODY).request) == counted


@pytest.mark.parametrize("left_out", ["systemInstruction", "tools", 0, 1, 2])
def test_all_that_is_sent_is_counted(left_out: str | int) -> None:
    """System, tools, questions, calls and results."""
    less = {name: value for name, value in BODY.items() if name != left_out}
    less["contents"] = [content for index, content in enumerate(BODY["contents"]) if index != left_out]
    assert token_count("kimi", less) < token_count("kimi", BODY)


def test_thoughts_are_counted_though_they_go_no_further() -> None:
    """In the answer's usage as well."""
    without = {"role": "model", "parts": [{"text": "hello"}]}
    counts = [token_count("kimi", {"contents": [*HI, content, *HI]}) for content in (without, THOUGHT)]
    assert counts[1] - counts[0] == estimate("let me think of it")
    request = read(contents=[*HI, THOUGHT, *HI]).request
    assert request.prompt_tokens == counts[1]
    assert [message.text for message in request.messages] == ["hi", "hello", "hi"]


@pytest.mark.parametrize("body", [{}, {"contents": []}, {"generateContentRequest": 7}, {"cachedContent": "a"}])
def test_nothing_cannot_be_counted(body: dict[str, Any]) -> None:
    """Nor what is not told."""
    with pytest.raises(InvalidRequest):
        token_count("kimi", body)
