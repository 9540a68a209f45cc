"""OpenAI Responses through its own SDK, strict about what it is answered, over both protocols of Kimi."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from openai import APIError, APIStatusError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from tests.e2e.attachments import picture
from tests.e2e.support import Door, Gateway, Guest, until

pytestmark = pytest.mark.e2e

TEXT = "The sky is blue because short waves of light are scattered more than long ones."
THINKING = "The user asks about the sky. Rayleigh scattering is the answer."
UNKNOWN = "resp_" + "0" * 32
FIND = {
    "type": "function",
    "name": "find_city",
    "description": "Find the city that a person lives in.",
    "parameters": {"type": "object", "properties": {"person": {"type": "string"}}, "required": ["person"]},
    "strict": False,
}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tell the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def asked(client: OpenAI, *, stream: bool = False, **fields: Any) -> Response:  # noqa: ANN401 # the SDK's arguments
    """The Response to a request."""
    if not stream:
        response: Response = client.responses.create(**{"model": "kimi", **fields})
        return response
    *_, last = events_of(client, **fields)
    assert last.type in {"response.completed", "response.incomplete"}
    return last.response


def events_of(client: OpenAI, **fields: Any) -> Iterator[ResponseStreamEvent]:  # noqa: ANN401 # the SDK's arguments
    """The events of a streamed answer, each checked by the SDK."""
    with client.responses.create(**{"model": "kimi", "stream": True, **fields}) as stream:
        yield from stream


def said(text: str, role: str = "user") -> dict[str, str]:
    """A message."""
    return {"role": role, "content": text}


def back(response: Response) -> list[dict[str, Any]]:
    """The items of an answer, as a client sends them back."""
    return [item.to_dict() for item in response.output]


# --- Answers -----------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_an_answer(door: Door, *, stream: bool) -> None:
    """Kimi's words, and what they cost."""
    door.guest.plan({"text": TEXT})
    answer = asked(door.client, stream=stream, input="Why is the sky blue?")
    assert [answer.output_text, answer.status, answer.model] == [TEXT, "completed", "kimi"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert door.guest.asked_text() == "Why is the sky blue?"


def test_a_stream_has_the_vendor_s_events(door: Door) -> None:
    """In their order, numbered without gaps; the words add up."""
    door.guest.plan({"text": TEXT, "thinking": THINKING})
    events = list(events_of(door.client, input="Why?", model="kimi-thinking"))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "completed",
    ]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert ["".join(deltas), len(deltas) > 2] == [TEXT, True]


@BOTH_WAYS
def test_thinking_is_a_reasoning_item(door: Door, *, stream: bool) -> None:
    """Before the message, and counted."""
    door.guest.plan({"text": TEXT, "thinking": THINKING})
    answer = asked(door.client, stream=stream, input="Why?", model="kimi-thinking", reasoning={"summary": "auto"})
    thought, message = answer.output
    assert thought.type == "reasoning"
    assert [part.text for part in thought.summary] == [THINKING]
    assert message.type == "message"
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens >= 8


def test_reasoning_effort_reaches_kimi(connect: Door) -> None:
    """By the vendor's own field."""
    asked(connect.client, input="Hi", model="kimi-k3", reasoning={"effort": "high"})
    assert connect.guest.asked()["options"]["reasoning_effort"] == "REASONING_EFFORT_HIGH"


def test_instructions_stand_above_the_question(door: Door) -> None:
    """As a system message."""
    asked(door.client, input=[said("Who are you?")], instructions="Answer like a pirate.")
    text = door.guest.asked_text()
    assert 0 <= text.find("pirate") < text.find("Who are you?")


def test_sources_are_citations(connect: Door) -> None:
    """A search of the vendor's is Kimi's."""
    found = {"title": "Sky", "url": "https://example.com/sky", "siteName": "example.com", "snippet": "Blue."}
    connect.guest.plan({"text": TEXT, "search": [found]}, {"text": TEXT, "search": [found]})
    for stream in (False, True):
        answer = asked(connect.client, stream=stream, input="Why?", model="kimi-silent", tools=[{"type": "web_search"}])
        (message,) = [item for item in answer.output if item.type == "message"]
        (part,) = message.content
        assert part.type == "output_text"
        assert [note.url for note in part.annotations if note.type == "url_citation"] == ["https://example.com/sky"]


def test_an_image_is_shown_to_kimi(connect: Door) -> None:
    """As an attachment of the question."""
    sample = picture()
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": sample.data_url, "detail": "auto"},
    ]
    asked(connect.client, input=[{"role": "user", "content": content}])
    (file,) = connect.guest.files()
    assert file["sha256"] == sample.sha256
    assert connect.guest.shown() == [[file["id"]]]


class Forecast(BaseModel):
    """What the SDK parses."""

    city: str
    days: int


def test_the_sdk_parses_its_own_types(door: Door) -> None:
    """`parse` sends a strict schema, `stream` puts the answer together."""
    good = {"city": "Oslo", "days": 2}
    door.guest.plan({"text": f"```json\n{json.dumps(good)}\n```"}, {"text": json.dumps(good)})
    parsed = door.client.responses.parse(model="kimi", input="?", text_format=Forecast)
    assert parsed.output_parsed == Forecast(**good)  # type: ignore[arg-type] # a city and days
    with door.client.responses.stream(model="kimi", input="?", text_format=Forecast) as stream:
        assert stream.get_final_response().output_parsed == Forecast(**good)  # type: ignore[arg-type]


def test_a_limit_leaves_the_answer_incomplete(door: Door) -> None:
    """And says why."""
    words = "many words " * 200
    door.guest.plan({"text": words}, {"text": words})
    for stream in (False, True):
        answer = asked(door.client, stream=stream, input="Hi", max_output_tokens=20)
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"
        assert 0 < len(answer.output_text) < 400


def test_silence_is_filled_after_the_beginning(connect: Door) -> None:
    """Once the time of grace is over the client hears that its answer has begun."""
    connect.guest.plan({"text": TEXT, "first_delay": 1.3})
    body = {"model": "kimi", "input": "Hi", "stream": True}
    with connect.gateway.stream("POST", "/v1/responses", token=connect.token, body=body) as stream:
        lines = [(piece.line, piece.at) for piece in stream.pieces()]
    assert lines[0][0] == "event: response.created"
    assert 0.5 < lines[0][1] < 1.1
    assert ": keep-alive" in [line for line, _ in lines]
    assert lines[-2][0] == "event: response.completed"


# --- Tools -------------------------------------------------------------------------------------------------

STEPS = (
    {
        "thinking": "First the city.",
        "act": {"say": "Let me see.", "calls": [{"name": "find_city", "arguments": {"person": "Ann"}}]},
    },
    {"act": {"calls": [{"name": "weather", "arguments": {"city": "{{result:find_city}}"}}]}},
    {"act": {"say": "It is: {{result:weather}}."}},
)


def results_of(response: Response) -> list[dict[str, Any]]:
    """What the client's tools give."""
    results = []
    for item in response.output:
        if item.type == "function_call":
            arguments = json.loads(item.arguments)
            output = f"Home of {arguments['person']}" if item.name == "find_city" else f"Rain in {arguments['city']}"
            results.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    return results


@BOTH_WAYS
@pytest.mark.parametrize("by_id", [False, True], ids=["history", "id"])
def test_a_task_of_two_tools_is_done_in_one_conversation(native: Door, *, by_id: bool, stream: bool) -> None:
    """With the whole history, or by the id of the answer before: only the results are sent on to Kimi."""
    native.guest.plan(*STEPS)
    history: list[dict[str, Any]] = [said("How is the weather where Ann lives?")]
    fields: dict[str, Any] = {"input": history}
    while True:
        answer = asked(native.client, stream=stream, tools=[FIND, WEATHER], store=by_id, **fields)
        results = results_of(answer)
        if not results:
            break
        history = [*history, *back(answer), *results]
        fields = {"input": results, "previous_response_id": answer.id} if by_id else {"input": history}
    assert answer.output_text == "It is: Rain in Home of Ann."
    assert len(native.guest.chats()) == 1
    first, *others = native.guest.asked_texts()
    assert "Find the city" in first
    assert ["Find the city" in text for text in others] == [False, False]


@BOTH_WAYS
def test_a_custom_tool_takes_text(door: Door, *, stream: bool) -> None:
    """Its input is the text itself."""
    patch = '*** Begin Patch\n+ "quoted"\n*** End Patch'
    door.guest.plan({"act": {"calls": [{"name": "apply_patch", "arguments": {"input": patch}}]}})
    tool = {"type": "custom", "name": "apply_patch", "description": "Change files."}
    (item,) = asked(door.client, stream=stream, input="Change it.", tools=[tool]).output
    assert item.type == "custom_tool_call"
    assert [item.name, item.input] == ["apply_patch", patch]


@BOTH_WAYS
def test_a_tool_in_a_namespace_is_called(native: Door, *, stream: bool) -> None:
    """The client is told of both its names, and what it sends back is recognised."""
    space = {"type": "namespace", "name": "people", "description": "Who is who.", "tools": [FIND]}
    native.guest.plan(*({"act": step["act"]} for step in STEPS[:1]), {"act": {"say": "{{result:find_city}}"}})
    question = said("Where does Ann live?")
    answer = asked(native.client, stream=stream, input=[question], tools=[space])
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert [call.name, call.namespace] == ["find_city", "people"]
    history = [question, *back(answer), *results_of(answer)]
    assert asked(native.client, stream=stream, input=history, tools=[space]).output_text == "Home of Ann"
    assert len(native.guest.chats()) == 1


# --- Turns -------------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_turns_by_id_go_on_in_one_conversation(native: Door, *, stream: bool) -> None:
    """Each by the id of the answer before; Kimi is sent what is new."""
    native.guest.plan({"text": "One."}, {"text": "Two."}, {"text": "Three."})
    previous: dict[str, str] = {}
    answers = []
    for text in ("a", "b", "c"):
        answer = asked(native.client, stream=stream, input=text, **previous)
        previous = {"previous_response_id": answer.id}
        answers.append(answer.output_text)
    assert answers == ["One.", "Two.", "Three."]
    assert native.guest.asked_texts() == ["a", "b", "c"]
    assert len(native.guest.chats()) == 1


def test_turns_by_history_go_on_in_one_conversation(native: Door) -> None:
    """Also where what was thought comes back."""
    native.guest.plan({"text": "One.", "thinking": THINKING}, {"text": "Two."})
    history: list[dict[str, Any]] = [said("a")]
    history += [*back(asked(native.client, input=history)), said("b")]
    assert asked(native.client, input=history).output_text == "Two."
    assert native.guest.asked_texts() == ["a", "b"]


def test_every_worker_knows_every_answer(native_connect: Door, clients: ExitStack) -> None:
    """Each turn over a connection of its own."""
    gateway, token = native_connect.gateway, native_connect.token
    previous: dict[str, str] = {}
    for number in range(6):
        client = clients.enter_context(gateway.openai(token))
        answer = asked(client, stream=number % 2 == 1, input=f"turn {number}", **previous)
        previous = {"previous_response_id": answer.id}
    assert native_connect.guest.asked_texts() == [f"turn {number}" for number in range(6)]
    assert len(native_connect.guest.chats()) == 1


def test_a_conversation_may_be_the_client_s_own(connect: Door) -> None:
    """Its id is told, and it is not deleted."""
    first = asked(connect.client, input="a", conversation="none")
    assert first.conversation is not None
    second = asked(connect.client, stream=True, input="b", conversation=first.conversation.id)
    assert second.conversation == first.conversation
    (chat,) = connect.guest.chats()
    assert [chat["id"], chat["deleted"]] == [first.conversation.id, False]


# --- What there is about an answer -------------------------------------------------------------------------


def test_an_answer_can_be_looked_up_and_forgotten(connect: Door) -> None:
    """Until it is, it is told as it was."""
    answer = asked(connect.client, stream=True, input=[said("Hi"), {"type": "message", **said("There")}])
    assert connect.client.responses.retrieve(answer.id) == answer
    items = connect.client.responses.input_items.list(answer.id, order="asc", limit=1)
    assert [part.text for item in items for part in item.content] == ["Hi", "There"]  # type: ignore[union-attr]
    with pytest.raises(BadRequestError):
        connect.client.responses.cancel(answer.id)
    connect.client.responses.delete(answer.id)
    for look in (connect.client.responses.retrieve, connect.client.responses.input_items.list):
        with pytest.raises(NotFoundError):
            look(answer.id)


def test_a_request_can_be_counted(connect: Door) -> None:
    """Kimi is not asked."""
    counted = connect.client.responses.input_tokens.count(model="kimi", input="word " * 100)
    assert 80 < counted.input_tokens < 200
    assert connect.guest.completions() == []


# --- Errors ------------------------------------------------------------------------------------------------

WRONG: Mapping[str, dict[str, Any]] = {
    "background": {"background": True},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "input[0].type": {"input": [{"type": "hologram", "content": "a"}]},
    "tool_choice": {"tools": [FIND, {"type": "file_search"}], "tool_choice": {"type": "file_search"}},
    "text.format.schema": {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "x"}}}},
    "reasoning.effort": {"reasoning": {"effort": "extreme"}},
}


@pytest.mark.parametrize("param", WRONG)
@BOTH_WAYS
def test_a_wrong_request_is_refused(connect: Door, param: str, *, stream: bool) -> None:
    """By the SDK's own class, before Kimi is asked."""
    with pytest.raises(BadRequestError) as caught:
        asked(connect.client, stream=stream, **{"input": "Hi", **WRONG[param]})
    assert [caught.value.code, caught.value.param] == ["invalid_request", param]
    assert connect.guest.completions() == []


@BOTH_WAYS
def test_an_answer_that_is_not_known_is_not_found(connect: Door, *, stream: bool) -> None:
    """One that was not stored, and one that never was."""
    unstored = asked(connect.client, input="Hi", store=False).id
    for name in (UNKNOWN, unstored):
        with pytest.raises(NotFoundError) as caught:
            asked(connect.client, stream=stream, input="Hi", previous_response_id=name)
        assert [caught.value.code, caught.value.param] == ["not_found", "previous_response_id"]
    assert len(connect.guest.completions()) == 1


@BOTH_WAYS
def test_an_early_failure_has_its_status(connect_gateway: Gateway, guest: Guest, *, stream: bool) -> None:
    """An SDK that repeats requests by itself is told not to."""
    guest.plan({"faults": {"error_trailer": {"code": "resource_exhausted", "after_text": -1}}}, repeat=True)
    with connect_gateway.openai(guest.access_token, max_retries=2) as client, pytest.raises(RateLimitError) as caught:
        asked(client, stream=stream, input="Hi")
    assert caught.value.code == "rate_limit_exceeded"
    assert len(guest.completions()) == 1


FAULTS = {
    "upstream_truncated": {"cut_after": 12},
    "upstream_unavailable": {"error_frame": {"code": "unavailable", "after_text": 8}},
    "content_filtered": {"exception_block": {"reason": "REASON_SENSITIVE_CONTENT", "after_text": 8}},
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_late_failure_ends_the_stream(connect: Door, code: str) -> None:
    """The SDK raises; in the stream itself nothing follows `response.failed`, and the answer is not kept."""
    connect.guest.plan({"text": TEXT, "faults": FAULTS[code]}, repeat=True)
    events = events_of(connect.client, input="Hi")
    seen = [next(events)]
    with pytest.raises(APIError) as caught:
        seen += events
    assert not isinstance(caught.value, APIStatusError)  # it has no status: that was 200
    assert caught.value.code == code
    assert connect.guest.all_deleted()
    assert len(connect.guest.completions()) == 1
    body = {"model": "kimi", "input": "Hi", "stream": True}
    reply = connect.gateway.request("POST", "/v1/responses", token=connect.token, body=body)
    *_, last, nothing = reply.body.decode().split("\n\n")
    assert [last.split("\n")[0], nothing] == ["event: response.failed", ""]
    assert b"response.completed" not in reply.body
    response = json.loads(last.partition("data: ")[2])["response"]
    assert [response["status"], code in response["error"]["message"]] == ["failed", True]
    with pytest.raises(NotFoundError):
        connect.client.responses.retrieve(response["id"])


def test_a_client_that_leaves_ends_the_answer(connect: Door) -> None:
    """Nothing is kept of it, neither here nor with Kimi."""
    connect.guest.plan({"text": TEXT * 20, "delay": 0.05, "piece": 4})
    body = {"model": "kimi", "input": "Hi", "stream": True}
    with connect.gateway.stream("POST", "/v1/responses", token=connect.token, body=body) as stream:
        pieces = stream.pieces()
        created = [next(pieces), next(pieces)][1].data["response"]["id"]
    assert connect.guest.all_deleted()
    assert until(lambda: connect.guest.completions()[-1]["client_closed"])
    with pytest.raises(NotFoundError):
        connect.client.responses.retrieve(created)
