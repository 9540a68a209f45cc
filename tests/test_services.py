"""The composition root: what the settings ask for is what runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import create_app, services
from app.accounts.credentials import Kind, parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Served, TextDelta
from app.chat.request import ChatRequest, Message, Role
from app.dialects.respond import Pace
from app.errors import InvalidApiKey, Overloaded, RateLimitExceeded
from app.gateway import custody
from app.gateway.diagnosis import Reason
from app.observability import log
from config.settings import Settings
from tests.fakes import TRAILER, frame, jwt
from tests.kimi.loopback import Peer, serving

ANN = "0051bd724d8210998a649469b44903c9733b7e2333176a2c470f62afa24e91c6"
"""The name of the account whose tokens have `sub` ann."""

OPAQUE = "opaque-token-0000000000"
REQUEST = ChatRequest("kimi", (Message.of(Role.USER, "hi"),))
NEXT = ChatRequest("kimi", (*REQUEST.messages, Message.of(Role.ASSISTANT, "hello"), Message.of(Role.USER, "and?")))
CHAT = (
    frame({"chat": {"id": "chat-1"}})
    + frame({"message": {"id": "message-1", "role": "assistant"}})
    + frame({"block": {"id": "1", "text": {"content": "hello"}}})
    + TRAILER
)


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

    @property
    def names(self) -> list[str]:
        """The last part of each path."""
        return [call.rpartition("/")[2] for call in self.calls]


def settings(**changes: object) -> Settings:
    """Settings that leave nothing on the disk."""
    return Settings(**{"database_path": ":memory:", **changes})  # type: ignore[arg-type] # settings by their names


@contextmanager
def built(site: Site, **changes: object) -> Iterator[services.Services]:
    """Services that take the site for every host."""
    with serving(site) as server:
        urls = {"kimi_web_url": server.url, "kimi_auth_url": server.url, "kimi_legacy_url": server.url}
        yield services.build(settings(**{**urls, **changes}))


def answer(house: services.Services, token: str, request: ChatRequest = REQUEST) -> list[Event]:
    """All events of an answer."""
    lists = house.door.gateway.answer(request, parse_credentials(token), Cancellation())
    return [event for events in lists for event in events]


# --- Answers -----------------------------------------------------------------------------------------------


def test_an_answer_takes_the_calls_it_needs() -> None:
    """No more than these: refresh, models, chat; and deletion, when the worker and its memory end."""
    site = Site()
    with built(site, kimi_user_agent="agent/7") as house:
        events = answer(house, jwt(typ="refresh"))
        assert TextDelta("hello") in events
        assert site.names == ["RefreshToken", "GetAvailableModels", "Chat"]
        assert house.finish(5)
    assert site.names[3:] == ["DeleteChat"]
    assert site.agents == {"User-Agent: agent/7"}


def test_a_next_turn_takes_one_call() -> None:
    """CONTINUITY is on by default."""
    site = Site()
    with built(site) as house:
        answer(house, jwt())
        answer(house, jwt(), NEXT)
        assert site.names == ["GetAvailableModels", "Chat", "Chat"]


def test_continuity_may_be_off() -> None:
    """Then each conversation is deleted behind its answer."""
    site = Site()
    with built(site, continuity="off") as house:
        for request in (REQUEST, NEXT):
            answer(house, jwt(), request)
            assert house.finish(5)
    assert site.names == ["GetAvailableModels", "Chat", "DeleteChat", "Chat", "DeleteChat"]


def test_an_idle_conversation_goes_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONVERSATION_TTL, and a little slack that this test has no time for."""
    monkeypatch.setattr(custody, "SLACK", 0.0)
    site = Site()
    with built(site, conversation_ttl=0.2) as house:
        answer(house, jwt())
        began = time.monotonic()
        while "DeleteChat" not in site.names and time.monotonic() < began + 5:
            time.sleep(0.02)
        assert time.monotonic() - began >= 0.1
        assert site.names == ["GetAvailableModels", "Chat", "DeleteChat"]


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
    assert site.names == ["RefreshToken", "refresh"]


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
        assert house.finish(5)
    assert "DeleteChat" not in site.names


# --- State -------------------------------------------------------------------------------------------------


def test_with_a_file_a_restart_costs_nothing(tmp_path: Path) -> None:
    """Neither the rotated token nor the conversation: no second refresh, and a native turn."""
    site = Site()
    place = str(tmp_path / "state.sqlite3")
    for request in (REQUEST, NEXT):
        with built(site, database_path=place) as house:
            assert TextDelta("hello") in answer(house, jwt(typ="refresh"), request)
            assert house.finish(5)
    assert site.names == ["RefreshToken", "GetAvailableModels", "Chat", "GetAvailableModels", "Chat"]


@pytest.mark.parametrize(("place", "lasting"), [(":memory:", False), ("state.sqlite3", True)])
def test_state_is_kept_where_the_settings_say(place: str, tmp_path: Path, *, lasting: bool) -> None:
    """DATABASE_PATH."""
    path = tmp_path / place if lasting else Path(place)
    state = services.build(settings(database_path=str(path))).state
    assert [state.lasting, state.warnings(), path.exists()] == [lasting, [], lasting]


def test_the_names_of_accounts_are_the_same_in_every_process() -> None:
    """Workers, machines and restarts share what is kept under them."""
    with built(Site()) as house:
        first = answer(house, jwt(sub="ann"))[0]
    assert isinstance(first, Served)
    assert first.account == ANN


# --- Limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "kind"), [("max_streams_per_account", RateLimitExceeded), ("max_streams", Overloaded)]
)
def test_streams_are_limited_as_the_settings_say(limit: str, kind: type[Exception]) -> None:
    """MAX_STREAMS_PER_ACCOUNT, MAX_STREAMS; QUEUE_SECONDS is the time to wait."""
    with built(Site(), queue_seconds=0.05, **{limit: 1}) as house:
        with house.door.gateway._pool.lease(parse_credentials(jwt(sub="ann")), "kimi", Cancellation()):
            failed = answer(house, jwt(sub="ann"))[-1]
        assert isinstance(failed, Failed)
        assert type(failed.error) is kind
        assert TextDelta("hello") in answer(house, jwt(sub="ann"))


def test_one_account_s_streams_do_not_limit_another_one_s() -> None:
    """Each has its own."""
    with built(Site(), queue_seconds=0.05, max_streams_per_account=1) as house:
        first = house.door.gateway.answer(REQUEST, parse_credentials(jwt(sub="ann")), Cancellation())
        next(first)
        assert TextDelta("hello") in answer(house, jwt(sub="bob"))
        list(first)


# --- The doors ---------------------------------------------------------------------------------------------


def test_the_door_is_as_the_settings_say() -> None:
    """Pace, size, keys."""
    door = services.build(
        settings(
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


def test_the_diagnosis_asks_the_site_of_the_settings() -> None:
    """With the token exchanged as for an answer."""
    site = Site()
    with built(site) as house:
        finding = house.diagnosis.examine(jwt(typ="refresh"))
    assert [finding.reason, finding.kind, finding.site] == [Reason.OK, Kind.REFRESH.value, "127.0.0.1"]
    assert site.names == ["RefreshToken", "GetCurrentUser", "GetSubscriptionStats"]


def test_the_application_has_the_doors_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are built."""
    monkeypatch.setattr(log, "configure", lambda *_: None)
    app = create_app(settings(), max_json_bytes=7)
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
    assert "doctor" in app.cli.commands
