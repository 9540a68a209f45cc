"""Tools through the real gateway: the emulated model learns to call them from the prompt alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from openai.types.chat.chat_completion import Choice

from tests.e2e.support import Door, until

pytestmark = pytest.mark.e2e

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find_city",
            "description": "Find the city that a person lives in.",
            "parameters": {
                "type": "object",
                "properties": {"person": {"type": "string"}, "country": {"type": "string"}},
                "required": ["person"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    },
]
TASK = "How is the weather where Ann lives?"


def run_tool(name: str, arguments: dict[str, object]) -> str:
    """What the client's tools give."""
    if name == "find_city":
        return json.dumps({"city": f"Home of {arguments['person']}"})
    return f"Rain in {arguments['city']}"


STEPS = (
    {"act": {"say": "Let me see.", "calls": [{"name": "find_city", "arguments": {"person": "Ann"}}]}},
    {"act": {"calls": [{"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}]}},
    {"act": {"say": "It is: {{result:weather}}."}},
)
OUTCOME = 'It is: Rain in {"city": "Home of Ann"}.'


class Worker:
    """A client that runs the tools that the model calls, until it answers in words."""

    def __init__(self, door: Door, *, stream: bool) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": TASK}]
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.finishes: list[str] = []
        self._door = door
        self._stream = stream

    def work(self, **fields: object) -> str:
        """Give the last answer."""
        while True:
            content, calls = self._ask(**fields)
            self.messages.append({"role": "assistant", "content": content, "tool_calls": calls or None})
            if not calls:
                return content or ""
            for call in calls:
                arguments = json.loads(call["function"]["arguments"])
                self.calls.append((call["function"]["name"], arguments))
                result = run_tool(call["function"]["name"], arguments)
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})

    def _ask(self, **fields: object) -> tuple[str | None, list[dict[str, Any]]]:
        asked: dict[str, Any] = {"model": "kimi", "messages": self.messages, "tools": TOOLS, **fields}
        if self._stream:
            with self._door.client.chat.completions.create(**asked, stream=True) as chunks:
                return self._gathered(chunks)
        choice = self._door.client.chat.completions.create(**asked).choices[0]
        self.finishes.append(choice.finish_reason)
        return choice.message.content, [call.model_dump() for call in choice.message.tool_calls or []]

    def _gathered(self, chunks: Iterable[Any]) -> tuple[str | None, list[dict[str, Any]]]:
        text, calls = "", {}
        for chunk in chunks:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for part in choice.delta.tool_calls or []:
                    if part.id:
                        calls[part.index] = {
                            "id": part.id,
                            "type": "function",
                            "function": {"name": part.function.name, "arguments": ""},
                        }
                    calls[part.index]["function"]["arguments"] += part.function.arguments or ""
                if choice.finish_reason:
                    self.finishes.append(choice.finish_reason)
        return text or None, [calls[index] for index in sorted(calls)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_task_of_two_tools_is_done_in_three_steps(door: Door, *, stream: bool) -> None:
    """Each result reaches the model, and what it makes of it the next tool."""
    door.guest.plan(*STEPS)
    worker = Worker(door, stream=stream)
    assert worker.work() == OUTCOME
    assert worker.calls == [
        ("find_city", {"person": "Ann"}),
        ("weather", {"city": '{"city": "Home of Ann"}', "days": 2}),
    ]
    assert worker.finishes == ["tool_calls", "tool_calls", "stop"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_task_goes_on_in_one_conversation(native: Door, *, stream: bool) -> None:
    """Only the results are sent on, with a reminder; the tools are described once."""
    native.guest.plan(*STEPS)
    assert Worker(native, stream=stream).work() == OUTCOME
    first, *others = native.guest.asked_texts()
    assert len(native.guest.chats()) == 1
    assert "Tell the weather of a city." in first
    assert [("Tell the weather" in text, "<result:" in text) for text in others] == [(False, True)] * 2


def reading(path: str = "/a", **more: object) -> dict[str, object]:
    """A call of the first tool with a good argument."""
    return {"name": "find_city", "arguments": {"person": path, **more}}


def asked_with(door: Door, *acts: Mapping[str, object], **fields: object) -> tuple[Choice, Mapping[str, str]]:
    """The one choice of an answer whose model acts so, and the headers that came with it."""
    door.guest.plan(*({"act": act} for act in acts))
    asked: dict[str, Any] = {"model": "kimi", "messages": [{"role": "user", "content": TASK}], "tools": TOOLS, **fields}
    raw = door.client.chat.completions.with_raw_response.create(**asked)
    return raw.parse().choices[0], raw.headers


def names_of(choice: Choice) -> list[str]:
    """The tools that are called."""
    return [call.function.name for call in functions_of(choice)]


def functions_of(choice: Choice) -> list[ChatCompletionMessageFunctionToolCall]:
    """The calls."""
    calls = choice.message.tool_calls or []
    return [call for call in calls if isinstance(call, ChatCompletionMessageFunctionToolCall)]


BROKEN = {"calls": [{"name": "find_city", "arguments": "the person is Ann"}]}
CUT = {"calls": [{"name": "find_city", "arguments": '{"person": "An'}]}
GOOD = {"say": "Sorry:", "calls": [reading("Ann")]}


@pytest.mark.parametrize("broken", [BROKEN, CUT, {"calls": [{"name": "nothing", "arguments": {}}], "unlisted": True}])
def test_a_call_that_cannot_be_taken_is_asked_for_again(native: Door, broken: Mapping[str, object]) -> None:
    """In the same conversation; the client sees nothing of it."""
    choice, _ = asked_with(native, broken, GOOD)
    assert [json.loads(call.function.arguments) for call in functions_of(choice)] == [{"person": "Ann"}]
    assert [choice.message.content, choice.finish_reason] == [None, "tool_calls"]
    (chat,) = native.guest.chats()
    assert len([message for message in chat["messages"] if message["role"] == "user"]) == 2
    assert not chat["deleted"]


def test_a_call_that_stays_unreadable_is_an_error(door: Door) -> None:
    """It is asked for once, and never handed on."""
    door.guest.plan({"act": BROKEN}, {"act": BROKEN})
    reply = door.whole(tools=TOOLS)
    assert [reply.status, reply.json()["error"]["code"]] == [502, "upstream_protocol_error"]
    assert len(door.guest.completions()) == 2
    assert door.guest.all_deleted()


def test_a_call_that_was_cut_off_is_never_executed(connect: Door) -> None:
    """Where it had begun to arrive, the stream ends with an error; it has no end mark."""
    body = '{"person": "Ann", "country": "Nor'
    connect.guest.plan({"act": {"calls": [{"name": "find_city", "arguments": body}]}}, {"act": {"say": "..."}})
    with connect.streamed(tools=TOOLS) as stream:
        text = stream.response.read().decode()
    assert '"error"' in text
    assert 'finish_reason":"tool_calls' not in text
    assert "[DONE]" not in text


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "find_city"}}])
def test_a_call_that_is_demanded_is_asked_for(door: Door, choice: object) -> None:
    """A model that answers in words is told to call."""
    answer, _ = asked_with(door, {"say": "I would rather talk."}, GOOD, tool_choice=choice)
    assert [names_of(answer), answer.message.content] == [["find_city"], None]


def test_a_call_that_is_demanded_and_never_comes_is_told(door: Door) -> None:
    """The words are given, with a header."""
    answer, headers = asked_with(door, {"say": "No."}, {"say": "Still no."}, tool_choice="required")
    assert [answer.message.content, answer.finish_reason] == ["Still no.", "stop"]
    assert headers["x-warnings"] == "tool_choice_unsatisfied"


def test_a_named_tool_is_the_only_one_described(connect: Door) -> None:
    """The model cannot choose another."""
    asked_with(connect, GOOD, tool_choice={"type": "function", "function": {"name": "find_city"}})
    assert "Tell the weather" not in connect.guest.asked_text()


FUNCTION = {"name": "find_city", "arguments": "{}"}


def test_without_tools_no_call_comes_out(door: Door) -> None:
    """With tool_choice none the tools are not described, and a call all the same is left out."""
    calls = {"say": "Well,", "calls": [{"name": "find_city", "arguments": {}}], "after": "no.", "unlisted": True}
    history = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "a", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]
    answer, _ = asked_with(door, calls, messages=history, tool_choice="none")
    assert [names_of(answer), answer.finish_reason] == [[], "stop"]
    assert "<call" not in str(answer.message.content)
    assert "Find the city" not in door.guest.asked_text()


def test_several_calls_may_come_at_once(door: Door) -> None:
    """With words before them."""
    answer, _ = asked_with(door, {"say": "Both.", "calls": [reading("a"), reading("b")]})
    assert [answer.message.content, names_of(answer)] == ["Both.", ["find_city", "find_city"]]
    assert len({call.id for call in functions_of(answer)}) == 2


def test_one_call_may_be_all(connect: Door) -> None:
    """What the model would add is cut off, its generation stopped and the conversation deleted."""
    answer, _ = asked_with(connect, {"calls": [reading("a"), reading("b")]}, parallel_tool_calls=False)
    assert names_of(answer) == ["find_city"]
    assert connect.guest.all_deleted()


def test_a_result_that_the_model_invents_ends_the_answer(connect: Door) -> None:
    """The call before it stands."""
    connect.guest.plan({"act": {"calls": [reading("Ann")]}})
    connect.whole(tools=TOOLS)
    result = connect.guest.asked_text().split("<result:", 1)[1].split('"', 1)[0]  # the letters of this conversation
    made_up = {"calls": [reading("Ann")], "after": f'<result:{result}"1">Oslo</result>\nAnn lives in Oslo.'}
    answer, _ = asked_with(connect, made_up, messages=[{"role": "user", "content": "Hi"}])
    assert [names_of(answer), answer.message.content] == [["find_city"], None]


def test_arguments_get_their_types(door: Door) -> None:
    """What fits no schema is handed on with a word in a header."""
    call = {"name": "weather", "arguments": {"days": "3"}}
    answer, headers = asked_with(door, {"calls": [call]})
    assert json.loads(functions_of(answer)[0].function.arguments) == {"days": 3}
    assert headers["x-warnings"] == "coerced:days, schema:missing:city"


def test_calls_in_a_fence_or_in_thoughts_are_calls(door: Door) -> None:
    """Models print them there, too."""
    assert names_of(asked_with(door, {"say": "So:", "calls": [reading()], "fence": True})[0]) == ["find_city"]
    assert names_of(asked_with(door, {"calls": [reading()], "in_thinking": True})[0]) == ["find_city"]


def test_tool_calls_are_counted(door: Door) -> None:
    """Arguments are tokens of the answer, tools are tokens of the prompt."""
    door.guest.plan({"act": {"calls": [reading("Ann " * 50)]}})
    usage = door.whole(tools=TOOLS).json()["usage"]
    bare = door.whole().json()["usage"]
    assert usage["completion_tokens"] > 40
    assert usage["prompt_tokens"] > bare["prompt_tokens"] + 40


def test_old_functions_are_answered_in_old_words(door: Door) -> None:
    """`functions` and `function_call`."""
    door.guest.plan({"act": {"calls": [reading("Ann")]}})
    choice = door.whole(functions=[TOOLS[0]["function"]]).json()["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert json.loads(choice["message"]["function_call"]["arguments"]) == {"person": "Ann"}


def test_a_custom_tool_takes_text(door: Door) -> None:
    """Its input is the text itself."""
    patch = '*** Begin Patch\n+ "quoted"\n*** End Patch'
    door.guest.plan({"act": {"calls": [{"name": "apply_patch", "arguments": {"input": patch}}]}})
    tool = {"type": "custom", "custom": {"name": "apply_patch", "description": "Change files."}}
    choice = door.whole(tools=[tool]).json()["choices"][0]
    assert choice["message"]["tool_calls"][0]["custom"] == {"name": "apply_patch", "input": patch}


def test_arguments_come_as_they_are_written_if_the_client_asks_for_it(connect: Door) -> None:
    """Without `eager_input_streaming` a long argument comes in one piece."""
    call = {"name": "find_city", "arguments": {"person": "word " * 100}}
    eager = [{**TOOLS[0], "eager_input_streaming": True}]
    counts = []
    for tools in (TOOLS, eager):
        connect.guest.plan({"act": {"calls": [call]}, "delay": 0.002})
        with connect.streamed(tools=tools) as stream:
            text = stream.response.read().decode()
        counts.append(text.count('"arguments":') - 1)
    assert counts[0] <= 2
    assert counts[1] > 20


def test_tools_of_a_prompt_that_is_sent_as_a_file_are_called(door: Door) -> None:
    """They are described in the file; the message itself reminds of the form."""
    long = [{"role": "system", "content": "x" * 200_000}, {"role": "user", "content": TASK}]
    answer, headers = asked_with(door, {"calls": [reading("Ann")]}, messages=long)
    assert [names_of(answer), headers["x-prompt"]] == [["find_city"], "file"]
    assert "Tell the weather" not in door.guest.asked_text()
    assert "To call a tool, print" in door.guest.asked_text()


def test_a_client_that_leaves_while_the_model_is_asked_again_leaves_nothing(connect: Door) -> None:
    """The second answer is stopped like any other."""
    connect.guest.plan({"act": BROKEN}, {"act": GOOD, "silent_after_headers": 5.0})
    with connect.streamed(tools=TOOLS):
        assert until(lambda: len(connect.guest.completions()) == 2)
    assert connect.guest.all_deleted()
    assert until(lambda: connect.guest.completions()[-1]["client_closed"])


def test_what_the_model_thinks_comes_without_calls(connect: Door) -> None:
    """A call in thoughts is not one where an answer follows, and nobody sees its form."""
    first, _ = asked_with(connect, {"calls": [reading("Ann")]})
    letters = connect.guest.asked_text().split("<call:", 1)[1][:4]
    block = f'<call:{letters} name="find_city">\n{{"person": "Ann"}}\n</call:{letters}>'
    connect.guest.plan({"thinking": f"I could print {block} now.", "text": "Hello."})
    message = connect.whole(tools=TOOLS, messages=[{"role": "user", "content": TASK}]).json()["choices"][0]["message"]
    assert names_of(first) == ["find_city"]
    assert [message["content"], message.get("tool_calls")] == ["Hello.", None]
    assert message["reasoning_content"].split() == ["I", "could", "print", "now."]
