"""What every door does first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from app.chat.events import Finished, TextDelta
from app.dialects.doorstep import SESSION_HEADERS
from app.dialects.fields import sane_session
from app.errors import (
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    MissingApiKey,
    RequestTooLarge,
    UnsupportedMediaType,
    UpstreamProtocolError,
)
from app.offload import Offload
from tests.dialects.houses import CLIENT, KEY, OWN, Front
from tests.fakes import FakeExchange, FakeKimi, jwt

OTHER = jwt(sub="other")
T = TypeVar("T")


def request(path: str = "/", *, headers: dict[str, str] | None = None, body: bytes = b"", kind: str = "") -> Request:
    """A request as Flask sees it."""
    builder = EnvironBuilder(
        path=path, method="POST", headers=(headers or {}).items(), data=body, content_type=kind or None
    )
    return Request(builder.get_environ())


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Authorization": f"Bearer {CLIENT}"}, CLIENT),
        ({"x-api-key": CLIENT}, CLIENT),
        ({"x-goog-api-key": CLIENT}, CLIENT),
        ({"x-goog-api-key": OTHER, "x-api-key": CLIENT}, CLIENT),
        ({"x-api-key": OTHER, "Authorization": f"Bearer {CLIENT}"}, CLIENT),
    ],
)
def test_a_credential_is_read_from_any_of_the_headers(headers: dict[str, str], token: str) -> None:
    """In the order of the contract."""
    (credential,) = Front(FakeKimi()).door.credentials(request(headers=headers))
    assert credential.token == token


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1beta/models/kimi:generateContent"])
def test_google_s_clients_may_put_their_key_into_the_address(path: str) -> None:
    """Where no header has one."""
    door = Front(FakeKimi()).door
    (credential,) = door.credentials(request(f"{path}?key={CLIENT}"))
    assert credential.token == CLIENT
    (credential,) = door.credentials(request(f"{path}?key={CLIENT}", headers={"x-goog-api-key": OTHER}))
    assert credential.token == OTHER


def test_a_gateway_key_opens_the_server_s_own_account() -> None:
    """Its token is not the client's."""
    (credential,) = Front(FakeKimi(), api_keys=(KEY,)).door.credentials(request(headers={"x-api-key": KEY}))
    assert credential.token == OWN


@pytest.mark.parametrize(
    ("path", "headers", "kind"),
    [
        ("/", {}, MissingApiKey),
        ("/", {"Authorization": "Basic YTpi"}, InvalidApiKey),
        ("/", {"x-api-key": "short"}, InvalidApiKey),
        (f"/?key={CLIENT}", {"x-api-key": CLIENT}, InvalidRequest),
    ],
)
def test_no_credential_is_refused(path: str, headers: dict[str, str], kind: type[GatewayError]) -> None:
    """Nor is one taken from the address, which ends up in logs."""
    with pytest.raises(GatewayError) as caught:
        Front(FakeKimi()).door.credentials(request(path, headers=headers))
    assert type(caught.value) is kind
    assert CLIENT not in caught.value.message


@pytest.mark.parametrize("header", SESSION_HEADERS)
def test_a_client_may_name_its_conversation_in_a_header(header: str) -> None:
    """Each in its own."""
    assert Front(FakeKimi()).door.session(request(headers={header.lower(): "one"})) == "one"


def test_the_best_header_that_can_be_used_names_the_conversation() -> None:
    """The contract's order; a name that cannot be one does not stand in the way."""
    door, order = Front(FakeKimi()).door, ("X-Conversation-Id", "X-OpenWebUI-Chat-Id", "x-claude-code-session-id")
    assert (*order, "session-id") == SESSION_HEADERS
    named = {header: f"by {header}".replace(" ", "-") for header in SESSION_HEADERS}
    for header in SESSION_HEADERS:
        assert door.session(request(headers=named)) == named[header]
        named[header] = "two words"
    assert door.session(request(headers=named)) is None


def test_a_client_need_not_name_its_conversation() -> None:
    """Most do not."""
    assert Front(FakeKimi()).door.session(request()) is None


@pytest.mark.parametrize("name", ["a", "0b5f6f0e-1c9d", "user:7/chat#1", "x" * 256])
def test_a_name_of_visible_characters_is_taken(name: str) -> None:
    """As it is."""
    assert sane_session(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "\x7f", "naïve", "x" * 257, None, 7, ["a"], {}, True])
def test_a_name_that_cannot_be_used_is_none(name: object) -> None:
    """It is a hint, so nobody is refused for it."""
    assert sane_session(name) is None


def test_a_body_is_one_json_object() -> None:
    """Read strictly."""
    door = Front(FakeKimi()).door
    assert door.json_object(request(body=b'{"a": 1}', kind="application/json")) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"[]", "application/json", InvalidRequest),
        (b"{", "application/json", InvalidRequest),
        (b"{}", "text/plain", UnsupportedMediaType),
        (b"{}" + b" " * 10_000, "application/json", RequestTooLarge),
    ],
)
def test_another_body_is_refused(body: bytes, kind: str, error: type[GatewayError]) -> None:
    """With the limit of the settings."""
    with pytest.raises(error):
        Front(FakeKimi()).door.json_object(request(body=body, kind=kind))


def test_what_is_made_of_a_body_is_given() -> None:
    """The door hands in how to understand it."""
    door = Front(FakeKimi()).door
    assert door.json_call(request(body=b'{"a": 7}', kind="application/json"), lambda body: body["a"]) == 7


@pytest.mark.parametrize(("body", "kind"), [(b"[]", "application/json"), (b"{", "application/json"), (b"{}", "")])
def test_nothing_is_made_of_another_body(body: bytes, kind: str) -> None:
    """Who understands it sees objects only."""
    with pytest.raises(GatewayError):
        Front(FakeKimi()).door.json_call(request(body=body, kind=kind), lambda _body: pytest.fail("not called"))


def test_a_refusal_of_what_is_understood_is_passed_on() -> None:
    """As it is, with the field that it names."""

    def understand(body: dict[str, object]) -> None:
        raise InvalidRequest("a must be 8.", param="a")

    with pytest.raises(InvalidRequest) as caught:
        Front(FakeKimi()).door.json_call(request(body=b'{"a": 7}', kind="application/json"), understand)
    assert [caught.value.param, caught.value.message] == ["a", "a must be 8."]


class Elsewhere(Offload):
    """Does its work at once, and writes down how much there was."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.working = False

    def run(self, work: Callable[[], T], *, size: int) -> T:
        self.sizes.append(size)
        self.working = True
        try:
            return work()
        finally:
            self.working = False


def test_parsing_and_understanding_are_done_elsewhere() -> None:
    """Both: most of the time goes into the base64 of pictures. What is read from the network is not."""
    offload = Elsewhere()
    door = replace(Front(FakeKimi()).door, offload=offload)
    body = b'{"a": "' + b"x" * 5000 + b'"}'
    assert door.json_call(request(body=body, kind="application/json"), lambda _body: offload.working)
    assert offload.sizes == [len(body)]
    with pytest.raises(RequestTooLarge):
        door.json_object(request(body=b"{}" + b" " * 10_000, kind="application/json"))
    assert offload.sizes == [len(body)]


@pytest.mark.parametrize(
    ("agent", "statuses"),
    [
        ("codex_exec/0.169.0 (Debian 12.0.0; x86_64)", [502, 502]),
        ("claude-cli/2.1.197 (external, sdk-cli)", [502, 502]),
        ("GeminiCLI-tui/0.61.0/kimi (linux; x64; terminal)", [502, 502]),
        ("OpenAI/Python 3.54.0", [502, 200]),
        ("curl/8.0 codex", [502, 200]),
        ("", [502, 200]),
    ],
)
def test_agents_that_heed_nothing_are_not_asked_for_again(agent: str, statuses: list[int]) -> None:
    """Whoever else tries again is served."""
    exchanges = FakeExchange(UpstreamProtocolError("no")), FakeExchange([TextDelta("hello")], [Finished()])
    front = Front(FakeKimi(*exchanges))
    body = {"model": "kimi", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {CLIENT}", "User-Agent": agent}
    answers = [front.client().post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == statuses
