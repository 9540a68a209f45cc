"""The composition root: what the settings ask for is what runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from app import create_app, services
from app.accounts.credentials import Kind, parse_credentials
from app.attachments.intake import in_memory
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, PromptMoved, Served, TextDelta
from app.chat.request import ChatRequest, FilePart, Inline, Message, Remote, Role, Stored, TextPart
from app.dialects.respond import Pace
from app.errors import AttachmentRefused, InvalidApiKey, Overloaded, RateLimitExceeded, RequestTooLarge
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
    """All of Kimi's hosts in one, and a page that a client may attach; `calls` are the requests in their order."""

    def __init__(self, *, refreshes: bool = True) -> None:
        self.url = ""
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
        if call.endswith("/upload"):
            return 200, "application/json", b'{"file": {"id": "file-1"}}'
        if call.endswith("/GetFileParseProgress"):
            return 200, "application/json", b'{"progresses": [{"fileId": "file-1", "status": "SUCCESS"}]}'
        if call.endswith("/page"):
            return 200, "text/plain", b"a page"
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
        site.url = server.url
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


# --- Attachments -------------------------------------------------------------------------------------------


def showing(source: Inline | Remote | Stored) -> ChatRequest:
    """A request with an attachment."""
    return ChatRequest("kimi", (Message(Role.USER, (TextPart("hi"), FilePart(source, "place"))),))


def inline(data: bytes) -> Inline:
    """Bytes that come with a request."""
    return Inline(data, hashlib.sha256(data).hexdigest())


def test_an_attachment_takes_two_calls_and_none_the_next_time() -> None:
    """Upload and a question whether it is read; what is remembered is asked about alone."""
    site = Site()
    with built(site, continuity="off") as house:
        answer(house, jwt(), showing(inline(b"a")))
        answer(house, jwt(), showing(inline(b"a")))
        assert [name for name in site.names if "ile" in name or name == "upload"] == [
            "upload",
            "GetFileParseProgress",
            "GetFileParseProgress",
        ]
        assert house.finish(5)


@pytest.mark.parametrize(("length", "moved"), [(1000, False), (1001, True)])
def test_a_prompt_is_moved_at_the_length_of_the_settings(length: int, *, moved: bool) -> None:
    """MAX_PROMPT_CHARS."""
    site = Site()
    with built(site, max_prompt_chars=1000) as house:
        events = answer(house, jwt(), ChatRequest("kimi", (Message.of(Role.USER, "a" * length),)))
    assert TextDelta("hello") in events
    assert [PromptMoved() in events, "upload" in site.names] == [moved, moved]


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_a_file_is_as_large_as_the_settings_say(size: int, *, fits: bool) -> None:
    """MAX_UPLOAD_BYTES, whichever way it comes."""
    site = Site()
    with built(site, max_upload_bytes=100) as house:
        last = answer(house, jwt(), showing(inline(b"a" * size)))[-1]
        assert house.files.max_bytes == 100
    if fits:
        assert isinstance(last, Finished)
    else:
        assert isinstance(last, Failed)
        assert isinstance(last.error, RequestTooLarge)
    assert ("upload" in site.names) == fits


@pytest.mark.parametrize(("networks", "allowed"), [((), False), (("127.0.0.0/8",), True), (("10.0.0.0/8",), False)])
def test_urls_lead_where_the_settings_allow(networks: tuple[str, ...], *, allowed: bool) -> None:
    """DOWNLOAD_ALLOW_CIDRS; nothing of this machine is fetched without it."""
    site = Site()
    cidrs = tuple(ip_network(network) for network in networks)
    with built(site, download_allow_cidrs=cidrs, kimi_user_agent="agent/7") as house:
        last = answer(house, jwt(), showing(Remote(f"{site.url}/page")))[-1]
    assert [isinstance(last, Finished), "GET /page" in site.calls] == [allowed, allowed]
    if not allowed:
        assert isinstance(last, Failed)
        assert isinstance(last.error, AttachmentRefused)
        assert site.calls == []
    else:
        assert site.agents == {"User-Agent: agent/7"}


def test_files_of_refresh_tokens_go_where_the_settings_say() -> None:
    """KIMI_PROTOCOL=rest asks the legacy site for a place."""
    site = Site()
    with built(site, kimi_protocol="rest") as house:
        answer(house, jwt(typ="refresh"), showing(inline(b"a")))
    assert "POST /api/pre-sign-url" in site.calls
    assert "upload" not in site.names


def test_a_restart_forgets_no_file(tmp_path: Path) -> None:
    """Neither what a client uploaded by itself, nor that some bytes are with Kimi already."""
    site = Site()
    place = str(tmp_path / "state.sqlite3")
    account = parse_credentials(jwt(sub="ann"))
    with built(site, database_path=place) as house:
        content = in_memory(b"a", inline(b"a").digest, "a.txt", None, limit=9)
        record = house.files.store(account, content, "user_data", Cancellation())
        assert house.finish(5)
    with built(site, database_path=place) as house:
        assert house.files.records(account) == [record]
        for source in (Stored(record.file_id), inline(b"a")):
            assert TextDelta("hello") in answer(house, account[0].token, showing(source))
        assert house.finish(5)
    assert site.names.count("upload") == 1


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
        ("/v1/models", "GET"),
        ("/", "GET"),
        ("/v1/files", "POST"),
        ("/v1/files", "GET"),
        ("/v1/files/<file_id>", "GET"),
        ("/v1/files/<file_id>", "DELETE"),
        ("/token/check", "POST"),
        ("/ping", "GET"),
        ("/healthz", "GET"),
        ("/readyz", "GET"),
    } <= rules
    assert app.extensions["finish_background"](0)
    assert "doctor" in app.cli.commands
