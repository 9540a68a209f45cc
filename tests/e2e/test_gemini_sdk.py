"""Google's official SDK, strict about what it is answered, over both protocols of Kimi."""

from __future__ import annotations

import enum
import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pydantic
import pytest
from google import genai
from google.genai import errors, types

from tests.e2e.attachments import document, on_the_web, picture
from tests.e2e.conftest import GRACE, KEEPALIVE, NewGuest
from tests.e2e.support import Door, Gateway, Guest, RawStream, entered
from tests.e2e.web_server import WebServer

pytestmark = pytest.mark.e2e

TEXT = "The sky is blue because short waves of light are scattered more than long ones."
THINKING = "The user asks about the sky. Rayleigh scattering is the answer."
HI = "Why is the sky blue?"
HI_RAW = {"contents": [{"role": "user", "parts": [{"text": HI}]}]}
STREAM = "/v1beta/models/kimi:streamGenerateContent"
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

Config = dict[str, Any]

_HTTP = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""All is plain HTTP here; loading the usual authorities for each client takes longer than most tests."""


@contextmanager
def google(gateway: Gateway, token: str, **options: Any) -> Iterator[genai.Client]:  # noqa: ANN401 # the SDK's options
    """Open the SDK's client."""
    http = types.HttpOptions(
        base_url=gateway.server.url, client_args=_HTTP, async_client_args=_HTTP, **options
    )  # fmt: skip
    with genai.Client(api_key=token, http_options=http) as client:
        yield client


@pytest.fixture
def client(door: Door) -> Iterator[genai.Client]:
    """Enter over each protocol in turn."""
    with google(door.gateway, door.token) as opened:
        yield opened


def asked(
    client: genai.Client,
    contents: Any = HI,  # noqa: ANN401 # what the SDK takes
    *,
    stream: bool,
    model: str = "kimi",
    **config: Any,  # noqa: ANN401 # members of the SDK's config
) -> list[types.GenerateContentResponse]:
    """Ask; an answer that is not streamed is one chunk."""
    chunks: list[types.GenerateContentResponse] = []
    gather(chunks, client, contents, stream=stream, model=model, **config)
    return chunks


def gather(
    chunks: list[types.GenerateContentResponse],
    client: genai.Client,
    contents: Any = HI,  # noqa: ANN401 # as for `asked`
    *,
    stream: bool,
    model: str = "kimi",
    **config: Any,  # noqa: ANN401 # as for `asked`
) -> None:
    """Ask, and put to the list what comes, until it ends or fails."""
    settings = types.GenerateContentConfig(**config)
    if stream:
        chunks.extend(client.models.generate_content_stream(model=model, contents=contents, config=settings))
    else:
        chunks.append(client.models.generate_content(model=model, contents=contents, config=settings))


def parts_of(chunks: Sequence[types.GenerateContentResponse]) -> list[types.Part]:
    """All parts of all chunks."""
    return [part for chunk in chunks for part in chunk.parts or []]


def text_of(chunks: Sequence[types.GenerateContentResponse], *, thought: bool = False) -> str:
    """The text of an answer, or what was thought."""
    return "".join(part.text or "" for part in parts_of(chunks) if bool(part.thought) is thought)


def candidate_of(chunk: types.GenerateContentResponse) -> types.Candidate:
    """The only candidate."""
    (candidate,) = chunk.candidates or []
    return candidate


# --- Answers -----------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_an_answer(door: Door, client: genai.Client, *, stream: bool) -> None:
    """Kimi's text, one reason in the last chunk, its counts, the name that was asked for."""
    door.guest.plan({"text": TEXT})
    chunks = asked(client, stream=stream, model="org/some.model:free")
    assert text_of(chunks) == TEXT
    reasons = [candidate_of(chunk).finish_reason for chunk in chunks]
    assert reasons == [*[None] * (len(chunks) - 1), types.FinishReason.STOP]
    assert {chunk.model_version for chunk in chunks} == {"org/some.model:free"}
    assert len({chunk.response_id for chunk in chunks}) == 1
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert usage.total_token_count == (usage.prompt_token_count or 0) + (usage.candidates_token_count or 0)
    assert door.guest.asked_text() == HI
    assert len(chunks) > 3 or not stream


@BOTH_WAYS
def test_thinking(door: Door, client: genai.Client, *, stream: bool) -> None:
    """It is shown to who asks for it, and counted in any case."""
    door.guest.plan(*[{"text": TEXT, "thinking": THINKING}] * 2)
    for shows in (True, False):
        thinking = types.ThinkingConfig(include_thoughts=shows)
        chunks = asked(client, stream=stream, model="kimi-thinking", thinking_config=thinking)
        assert [text_of(chunks), text_of(chunks, thought=True)] == [TEXT, THINKING if shows else ""]
        assert chunks[-1].usage_metadata is not None
        assert (chunks[-1].usage_metadata.thoughts_token_count or 0) > 8


@pytest.mark.parametrize(
    ("thinking", "options"),
    [
        ({"thinking_budget": 0}, {"thinking": False}),
        ({"thinking_level": "LOW"}, {"thinking": True, "reasoning_effort": "REASONING_EFFORT_LOW"}),
    ],
)
def test_how_much_to_think_reaches_kimi(connect: Door, thinking: Config, options: dict[str, object]) -> None:
    """From a budget as from a level."""
    with google(connect.gateway, connect.token) as client:
        asked(client, stream=False, thinking_config=types.ThinkingConfig(**thinking))
    sent = connect.guest.asked()["options"]
    assert {name: sent.get(name) for name in options} == options


@BOTH_WAYS
def test_search_is_grounding(door: Door, client: genai.Client, *, stream: bool) -> None:
    """With the pages, and in bytes what rests on which of them."""
    found = [
        {"title": title, "url": f"https://example.com/{title}", "siteName": "example.com", "snippet": "Wet."}
        for title in ("water", "sky")
    ]
    door.guest.plan({"text": "水 is wet 🌊{{cite:0}} and the sky is blue{{cite:1}}.", "search": found})
    chunks = asked(client, stream=stream, tools=[types.Tool(google_search=types.GoogleSearch())])
    grounding = candidate_of(chunks[-1]).grounding_metadata
    assert grounding is not None
    pages = [chunk.web and (chunk.web.title, chunk.web.uri) for chunk in grounding.grounding_chunks or []]
    assert pages == [("water", "https://example.com/water"), ("sky", "https://example.com/sky")]
    text = text_of(chunks)
    assert text == "水 is wet 🌊 and the sky is blue."
    supports = grounding.grounding_supports or []
    segments = [support.segment for support in supports if support.segment]
    assert [segment.text for segment in segments] == ["水 is wet 🌊", "and the sky is blue"]
    cut = [text.encode()[segment.start_index or 0 : segment.end_index].decode() for segment in segments]
    assert cut == [segment.text for segment in segments]
    assert [support.grounding_chunk_indices for support in supports] == [[0], [1]]


def test_the_gateway_s_own_fields_are_taken(native_connect: Door) -> None:
    """As the SDK's extra body: a conversation is kept, and continued by its id."""
    with google(native_connect.gateway, native_connect.token, extra_body={"conversation_id": "none"}) as client:
        (first,) = asked(client, stream=False)
    assert first.response_id == native_connect.guest.chats()[0]["id"]
    own = {"conversation_id": first.response_id}
    with google(native_connect.gateway, native_connect.token, extra_body=own) as client:
        assert {chunk.response_id for chunk in asked(client, "And now?", stream=True)} == {first.response_id}
    assert len(native_connect.guest.chats()) == 1


# --- Conversations -----------------------------------------------------------------------------------------


@BOTH_WAYS
def test_a_chat_is_one_conversation(native: Door, *, stream: bool) -> None:
    """All turns of the SDK's chat, which gives streamed answers back chunk by chunk."""
    native.guest.plan(*({"text": f"Answer {number}: {TEXT}"} for number in range(3)))
    with google(native.gateway, native.token) as client:
        chat = client.chats.create(model="kimi", config=types.GenerateContentConfig(system_instruction="Be kind."))
        for number in range(3):
            question = f"Question {number}?"
            told = list(chat.send_message_stream(question)) if stream else [chat.send_message(question)]
            assert text_of(told) == f"Answer {number}: {TEXT}"
    assert len(native.guest.chats()) == 1
    first, *others = native.guest.asked_texts()
    assert "Be kind." in first
    assert others == ["Question 1?", "Question 2?"]


# --- Tools -------------------------------------------------------------------------------------------------

STEPS = (
    {"act": {"say": "Let me see.", "calls": [{"name": "find_city", "arguments": {"person": "Ann"}}]}},
    {"act": {"calls": [{"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}]}},
    {"act": {"say": "It is: {{result:weather}}."}},
)
TASK = "How is the weather where Ann lives?"
OUTCOME = "It is: Rain in Home of Ann for 2 days."


def find_city(person: str) -> str:
    """Find the city that a person lives in."""
    return f"Home of {person}"


def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city} for {days} days"


@BOTH_WAYS
def test_the_sdk_calls_functions_by_itself(native: Door, *, stream: bool) -> None:
    """In one conversation; the results find their calls without ids."""
    native.guest.plan(*STEPS)
    with google(native.gateway, native.token) as client:
        chat = client.chats.create(model="kimi", config=types.GenerateContentConfig(tools=[find_city, weather]))
        told = list(chat.send_message_stream(TASK)) if stream else [chat.send_message(TASK)]
    assert text_of(told[-1:] if not stream else told).endswith(OUTCOME)
    assert len(native.guest.chats()) == 1
    assert len(native.guest.completions()) == 3


@BOTH_WAYS
def test_a_loop_of_calls_by_hand(door: Door, client: genai.Client, *, stream: bool) -> None:
    """With the declarations in Google's own words, whose types are in capitals."""
    door.guest.plan(*STEPS)
    text, number = types.Schema(type=types.Type.STRING), types.Schema(type=types.Type.INTEGER, nullable=True)
    functions = {
        "find_city": (find_city, {"person": text}),
        "weather": (weather, {"city": text, "days": number}),
    }
    declarations = [
        types.FunctionDeclaration(name=name, parameters=types.Schema(type=types.Type.OBJECT, properties=properties))
        for name, (_, properties) in functions.items()
    ]
    history = [types.Content(role="user", parts=[types.Part(text=TASK)])]
    calls: list[types.FunctionCall] = []
    while True:
        tools = [types.Tool(function_declarations=declarations)]
        chunks = asked(client, history, stream=stream, tools=tools)
        made = [part.function_call for part in parts_of(chunks) if part.function_call]
        if not made:
            break
        calls += made
        history += [content for chunk in chunks if (content := candidate_of(chunk).content)]
        results = [(call, functions[str(call.name)][0](**call.args or {})) for call in made]  # type: ignore[operator]
        history.append(
            types.Content(
                role="user",
                parts=[
                    types.Part(function_response=types.FunctionResponse(id=c.id, name=c.name, response={"output": o}))
                    for c, o in results
                ],
            )
        )
    assert text_of(chunks) == OUTCOME
    assert [call.args for call in calls] == [{"person": "Ann"}, {"city": "Home of Ann", "days": 2}]
    assert all(call.id for call in calls)
    assert '"type":"string"' in door.guest.asked_texts()[0]


@BOTH_WAYS
def test_calls_of_one_name_are_answered_in_their_order(door: Door, client: genai.Client, *, stream: bool) -> None:
    """Where neither call nor result has an id."""
    door.guest.plan({"act": {"say": "{{result}}"}})
    call = [types.Part.from_function_call(name="weather", args={"city": city}) for city in ("Oslo", "Rome")]
    results = [types.Part.from_function_response(name="weather", response={"result": sky}) for sky in ("Rain", "Sun")]
    history = [
        types.Content(role="user", parts=[types.Part(text="Oslo and Rome?")]),
        types.Content(role="model", parts=call),
        types.Content(role="user", parts=results),
    ]
    asked(client, history, stream=stream, tools=[weather], automatic_function_calling={"disable": True})
    _, _, text = door.guest.asked_text().partition("Oslo and Rome?")
    places = [text.find(word) for word in ("Oslo", "Rome", 'id="1"', "Rain", 'id="2"', "Sun")]
    assert places[0] > 0
    assert places == sorted(places)


# --- Form --------------------------------------------------------------------------------------------------


class City(pydantic.BaseModel):
    """What an answer has to look like."""

    name: str
    size: int | None = None


class Sky(enum.Enum):
    """What an answer may be."""

    BLUE = "blue"
    GREY = "grey"


@BOTH_WAYS
def test_an_answer_in_json(door: Door, client: genai.Client, *, stream: bool) -> None:
    """A list of objects, in Google's schema and in JSON's; what surrounds it is taken off."""
    said = '```json\n[{"name": "Oslo", "size": null}]\n```'
    door.guest.plan({"text": said}, {"text": said})
    listed = {"type": "array", "items": City.model_json_schema()}
    for schema in ({"response_schema": list[City]}, {"response_json_schema": listed}):
        chunks = asked(client, stream=stream, response_mime_type="application/json", **schema)
        assert json.loads(text_of(chunks)) == [{"name": "Oslo", "size": None}]
        if not stream and "response_schema" in schema:
            parsed: object = chunks[0].parsed
            assert parsed == [City(name="Oslo")]


@BOTH_WAYS
def test_an_answer_that_is_one_word_of_several(door: Door, client: genai.Client, *, stream: bool) -> None:
    """Without quotes, as Google gives it."""
    door.guest.plan({"text": '"blue"'})
    chunks = asked(client, stream=stream, response_mime_type="text/x.enum", response_schema=Sky)
    assert text_of(chunks) == "blue"
    assert stream or chunks[0].parsed is Sky.BLUE


def test_json_that_does_not_come_is_an_error(connect: Door) -> None:
    """Never prose."""
    connect.guest.plan({"text": "Sorry."}, repeat=True)
    with google(connect.gateway, connect.token) as client, pytest.raises(errors.ServerError) as caught:
        asked(client, stream=True, response_schema=City)
    assert [caught.value.code, caught.value.status] == [502, "UNAVAILABLE"]


# --- Attachments -------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_a_picture_and_a_document(reaching: Door, web: WebServer, *, stream: bool) -> None:
    """Bytes in the request, and what is behind a URL."""
    image, file = picture(), document()
    contents = [
        types.Part.from_bytes(data=image.data, mime_type="image/png"),
        types.Part.from_uri(file_uri=on_the_web(web, file), mime_type="application/pdf"),
        "What is this?",
    ]
    with google(reaching.gateway, reaching.token) as client:
        assert text_of(asked(client, contents, stream=stream))
    digests = {view["id"]: view["sha256"] for view in reaching.guest.files()}
    (shown,) = reaching.guest.shown()
    assert [digests[file_id] for file_id in shown] == [image.sha256, file.sha256]


# --- What is not an answer ---------------------------------------------------------------------------------


def test_tokens_are_counted_without_kimi(door: Door, client: genai.Client) -> None:
    """As many as the answer then tells of."""
    counted = client.models.count_tokens(model="kimi", contents=HI).total_tokens
    assert door.guest.completions() == []
    (answer,) = asked(client, stream=False)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.prompt_token_count == counted


def test_models_are_listed_page_by_page(client: genai.Client) -> None:
    """The SDK asks for the pages by itself, under another version than Google's documents have."""
    names = [model.name for model in client.models.list()]
    assert {"models/kimi", "models/kimi-thinking"} <= set(names)
    assert [model.name for model in client.models.list(config={"page_size": 3})] == names
    model = client.models.get(model="kimi-k2")
    assert [model.name, model.display_name] == ["models/kimi-k2", "kimi-k2"]
    assert "generateContent" in (model.supported_actions or [])


# --- Failures ----------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize(
    ("faults", "kind", "code", "status"),
    [
        ({"overload_trailer": True}, errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ({"error_trailer": {"code": "unauthenticated", "after_text": -1}}, errors.ClientError, 401, "UNAUTHENTICATED"),
        ({"error_trailer": {"code": "internal", "after_text": -1}}, errors.ServerError, 503, "UNAVAILABLE"),
        ({"html": True}, errors.ServerError, 502, "UNAVAILABLE"),
    ],
    ids=["overload", "token", "internal", "page"],
)
def test_a_failure_before_the_first_word(
    connect: Door, faults: Config, kind: type[errors.APIError], code: int, status: str, *, stream: bool
) -> None:
    """Has its class, and causes one completion."""
    connect.guest.plan({"text": TEXT, "faults": faults}, {"text": "A second completion was sent."})
    with google(connect.gateway, connect.token) as client, pytest.raises(kind) as caught:
        asked(client, stream=stream)
    assert [type(caught.value), caught.value.code, caught.value.status] == [kind, code, status]
    assert len(connect.guest.completions()) == 1


@BOTH_WAYS
def test_what_cannot_be_asked(door: Door, client: genai.Client, *, stream: bool) -> None:
    """Is told at once, without a completion."""
    with pytest.raises(errors.ClientError) as caught:
        asked(client, stream=stream, candidate_count=2)
    assert [caught.value.code, caught.value.status] == [400, "INVALID_ARGUMENT"]
    with pytest.raises(errors.ClientError) as missing:
        client.models.embed_content(model="kimi", contents=HI)
    assert [missing.value.code, missing.value.status] == [404, "NOT_FOUND"]
    assert door.guest.completions() == []


def test_a_bad_key(door: Door) -> None:
    """Is no account of anybody's."""
    with google(door.gateway, "short") as client, pytest.raises(errors.ClientError) as caught:
        asked(client, stream=False)
    assert [caught.value.code, caught.value.status] == [401, "UNAUTHENTICATED"]


CUTS = pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"error_trailer": {"code": "resource_exhausted", "after_text": 8}}, 429),
        ({"error_trailer": {"code": "internal", "after_text": 8}}, 503),
        ({"cut_after": 12}, 502),
        ({"cut_after": 12, "cut": "rst"}, 502),
    ],
    ids=["quota", "internal", "cut", "reset"],
)


@CUTS
def test_a_failure_in_the_middle(connect_gateway: Gateway, new_guest: NewGuest, faults: Config, code: int) -> None:
    """Is raised by the stream, has its status where there is none, and follows no reason."""
    kind = errors.ClientError if code < 500 else errors.ServerError
    for stream in (True, False):
        guest = new_guest()
        guest.plan({"text": TEXT, "faults": faults}, {"text": "A second completion was sent."})
        chunks: list[types.GenerateContentResponse] = []
        with google(connect_gateway, guest.access_token) as client, pytest.raises(kind) as caught:
            gather(chunks, client, stream=stream)
        assert caught.value.code == code
        assert bool(chunks) is stream
        assert TEXT.startswith(text_of(chunks))
        assert [candidate_of(chunk).finish_reason for chunk in chunks if candidate_of(chunk).finish_reason] == []
        assert len(guest.completions()) == 1


# --- The wire ----------------------------------------------------------------------------------------------


def raw(door: Door, query: str = "?alt=sse") -> RawStream:
    """A stream as it arrives."""
    return door.gateway.stream("POST", STREAM + query, token=door.token, body=HI_RAW)


def test_the_array_form(door: Door) -> None:
    """Arrives element by element, each on its own lines."""
    door.guest.plan({"text": "0123456789", "piece": 1, "delay": 0.05})
    with raw(door, "") as stream:
        assert stream.response.getheader("content-type") == "application/json"
        pieces = list(stream.pieces())
    answers = json.loads("".join(piece.line for piece in pieces))
    chunks = [types.GenerateContentResponse.model_validate(answer) for answer in answers]
    assert [text_of([chunk]) for chunk in chunks] == [*"0123456789", ""]
    assert candidate_of(chunks[-1]).finish_reason is types.FinishReason.STOP
    assert pieces[-1].at - pieces[0].at > 0.3


def test_a_failure_in_the_array_form(connect: Door) -> None:
    """Is its last element."""
    connect.guest.plan({"text": TEXT, "faults": {"cut_after": 12}})
    with raw(connect, "") as stream:
        *chunks, last = json.loads(stream.response.read())
    assert [list(last), last["error"]["code"]] == [["error"], 502]
    assert chunks
    assert not any("finishReason" in chunk["candidates"][0] for chunk in chunks)


@pytest.mark.parametrize("query", ["?alt=sse", ""], ids=["events", "array"])
def test_silence_is_not_filled(connect: Door, query: str) -> None:
    """The headers are out after the grace time, and then nothing comes but the answer."""
    connect.guest.plan({"text": "At last.", "piece": 8, "silent_after_headers": GRACE + 3 * KEEPALIVE})
    with raw(connect, query) as stream:
        assert stream.response.status == 200
        assert GRACE - 0.2 < stream.head_at < GRACE + 0.4
        text = stream.response.read().decode()
    lines = text.removesuffix("\n\n").split("\n\n" if query else ",\n")
    assert [line[:15] for line in lines] == (
        ['data: {"candida'] * 2 if query else ['[{"candidates":', '{"candidates":[']
    )
    assert '"text":"At last."' in lines[0]


def test_the_sdk_waits_through_silence(connect: Door) -> None:
    """Also where nothing is said for longer than a keep-alive."""
    connect.guest.plan(
        {"text": "One two", "piece": 4, "delay": 2 * KEEPALIVE, "silent_after_headers": GRACE + KEEPALIVE}
    )
    with google(connect.gateway, connect.token) as client:
        assert text_of(asked(client, stream=True)) == "One two"


def test_a_key_in_the_address(connect: Door) -> None:
    """As in the examples that people copy."""
    path = f"/v1beta/models/kimi:generateContent?key={connect.token}"
    reply = connect.gateway.request("POST", path, body=HI_RAW)
    assert [reply.status, reply.json()["candidates"][0]["finishReason"]] == [200, "STOP"]
    log = connect.gateway.server.log
    assert connect.token not in log


def test_two_guests_at_one_gateway(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """Each is answered from its own account."""
    guests: list[Guest] = [new_guest(), new_guest()]
    for guest in guests:
        guest.plan({"text": guest.name})
        with entered(connect_gateway, guest, guest.access_token) as door, google(door.gateway, door.token) as client:
            assert text_of(asked(client, stream=True)) == guest.name
