"""The composition root: what the settings ask for is what runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app import create_app, services
from app.accounts.credentials import parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, TextDelta
from app.chat.request import ChatRequest, Message, Role
from app.dialects.respond import Pace
from app.errors import InvalidApiKey
from config.settings import Settings
from tests.fakes import TRAILER, frame, jwt
from tests.kimi.loopback import Peer, serving

OPAQUE = "opaque-token-0000000000"
REQUEST = ChatRequest("kimi", (Message.of(Role.USER, "hi"),))
CHAT = frame({"chat": {"id": "chat-1"}}) + frame({"block": {"id": "1", "text": {"content": "hello"}}}) + TRAILER


class Site:
    """All of Kimi's hosts in one; `calls` are the requests in their order, by method and path."""

    def __init__(self, *, refreshes: bool = True) -> None:
        self.calls: list[str] = []
        self.agents: set[str] = set()
        self._refreshes = refreshes

    def __call__(self, peer: Peer) -> None:
        while head := peer.request()[0]:
            call = " ".join(head.split(" ")[:2])
            self.calls.append(call)
            self.agents.update(line for line in head.split("\r\n") if line.startswith("User-Agent"))
            status, kind, body = self._answer(call)
            peer.send(
                f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )

    def _answer(self, call: str) -> tuple[int, str, bytes]:
        if call.endswith("/Chat"):
            return 200, "application/connect+json", CHAT
        if "efresh" in call and not self._refreshes:
            return 401, "application/json", b"{}"
        tokens = {"accessToken": jwt(), "refreshToken": "next", "access_token": jwt(), "refresh_token": "next"}
        return 200, "application/json", json.dumps(tokens).encode()


@contextmanager
def built(site: Site, **changes: object) -> Iterator[services.Services]:
    """Services that take the site for every host."""
    with serving(site) as server:
        urls = {"kimi_web_url": server.url, "kimi_auth_url": server.url, "kimi_legacy_url": server.url}
        yield services.build(Settings(**{**urls, **changes}))  # type: ignore[arg-type] # settings by their names


def answer(house: services.Services, token: str) -> list[Event]:
    """All events of an answer, when what it left behind is cleaned up."""
    lists = house.door.gateway.answer(REQUEST, parse_credentials(token), Cancellation())
    events = [event for events in lists for event in events]
    assert house.background.finish(5)
    return events


def test_an_answer_takes_the_calls_it_needs() -> None:
    """No more than these: refresh, models, chat, deletion."""
    site = Site()
    with built(site, kimi_user_agent="agent/7") as house:
        events = answer(house, jwt(typ="refresh"))
    assert TextDelta("hello") in events
    assert [call.rpartition("/")[2] for call in site.calls] == [
        "RefreshToken", "GetAvailableModels", "Chat", "DeleteChat",
    ]  # fmt: skip
    assert site.agents == {"User-Agent: agent/7"}


def test_an_opaque_token_is_refreshed_at_the_legacy_site_only() -> None:
    """The new hosts know nothing of it."""
    site = Site(refreshes=False)
    with built(site) as house:
        assert isinstance(answer(house, OPAQUE)[-1], Failed)
    assert site.calls == ["GET /api/auth/token/refresh"]


def test_a_refused_refresh_token_is_tried_at_the_legacy_site_too() -> None:
    """After the new host."""
    site = Site(refreshes=False)
    with built(site) as house:
        assert isinstance(answer(house, jwt(typ="refresh"))[-1], Failed)
    assert [call.rpartition("/")[2] for call in site.calls] == ["RefreshToken", "refresh"]


def test_the_protocol_of_the_settings_serves_refresh_tokens() -> None:
    """KIMI_PROTOCOL=rest opens its conversation at the legacy site."""
    site = Site()
    with built(site, kimi_protocol="rest") as house:
        answer(house, jwt(typ="refresh"))
    assert "POST /api/chat" in site.calls
    assert not [call for call in site.calls if call.endswith("/Chat")]


def test_conversations_are_kept_if_the_settings_say_so() -> None:
    """KEEP_CONVERSATIONS."""
    site = Site()
    with built(site, keep_conversations=True) as house:
        answer(house, jwt())
    assert not [call for call in site.calls if call.endswith("/DeleteChat")]


def test_the_door_is_as_the_settings_say() -> None:
    """Pace, size, keys."""
    door = services.build(
        Settings(
            grace_seconds=1,
            keepalive_seconds=2,
            whole_answer_timeout=3,
            max_json_bytes=4,
            api_keys=("a-key",),
            kimi_tokens=(OPAQUE,),
        )
    ).door
    assert [door.pace, door.max_json_bytes] == [Pace(1, 2, 3), 4]
    assert [credential.token for credential in door.admission.admit("a-key")] == [OPAQUE]
    with pytest.raises(InvalidApiKey):
        door.admission.admit(OPAQUE)


def test_the_names_of_accounts_differ_from_process_to_process() -> None:
    """They are keyed by a secret that nobody knows."""
    (credential,) = parse_credentials(OPAQUE)
    names = {services.build(Settings()).door.gateway.account_name(credential) for _ in range(2)}
    assert len(names) == 2


def test_the_application_has_the_doors_of_the_contract() -> None:
    """Those that are built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.log.configure", lambda *_: None)
        app = create_app(Settings(), max_json_bytes=7)
    rules = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    assert {
        ("/v1/chat/completions", "POST"),
        ("/chat/completions", "POST"),
        ("/v1/models", "GET"),
        ("/models", "GET"),
        ("/token/check", "POST"),
        ("/ping", "GET"),
        ("/healthz", "GET"),
        ("/readyz", "GET"),
    } <= rules
    assert app.extensions["finish_background"](0)
