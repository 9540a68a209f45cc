"""What the rest of the house asks of Kimi."""

from __future__ import annotations

import json

import pytest

from app.chat.cancellation import Cancellation
from app.chat.request import ChatRequest, Message, Role
from app.errors import AccountRestricted, GatewayError, RateLimitExceeded, TokenExpired, UpstreamUnavailable
from app.kimi.client import PROTOCOLS, Account, KimiClient
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.refresh import TokenPair
from app.kimi.sites import Sites
from config.models import ModelEntry, load_models
from tests.fakes import TRAILER, FakeTransport, Reply, Streamed, frame, json_answer

REFUSED = HttpAnswer(401, {"content-type": "application/json"}, b"{}")
DOWN = UpstreamUnavailable("no")
PAIR = json_answer({"accessToken": "new", "refreshToken": "next"})
CHINA, OVERSEAS, LEGACY = "https://auth.kimi.com", "https://auth.kimi.ai", "https://legacy.example"


def client(transport: FakeTransport) -> KimiClient:
    """A client of the usual hosts."""
    return KimiClient(transport=transport, sites=Sites(legacy=LEGACY), models=load_models())


def host(request: HttpRequest) -> str:
    """The host with its scheme."""
    return "/".join(request.url.split("/")[:3])


def refreshed(
    replies: dict[str, Reply], *, overseas: bool = False, legacy_only: bool = False
) -> tuple[TokenPair | GatewayError, list[str]]:
    """What a refresh gives, and which hosts were asked."""
    transport = FakeTransport(lambda request: replies[host(request)])
    try:
        outcome: TokenPair | GatewayError = client(transport).refresh("old", overseas=overseas, legacy_only=legacy_only)
    except GatewayError as error:
        outcome = error
    return outcome, [host(request) for request in transport.requests]


@pytest.mark.parametrize(
    ("replies", "overseas", "legacy_only", "asked"),
    [
        ({CHINA: PAIR}, False, False, [CHINA]),
        ({OVERSEAS: PAIR}, True, False, [OVERSEAS]),
        ({CHINA: REFUSED, OVERSEAS: PAIR}, False, False, [CHINA, OVERSEAS]),
        ({CHINA: DOWN, OVERSEAS: REFUSED, LEGACY: PAIR}, False, False, [CHINA, OVERSEAS, LEGACY]),
        ({LEGACY: PAIR}, False, True, [LEGACY]),
    ],
)
def test_a_refresh_goes_from_host_to_host(
    replies: dict[str, Reply], asked: list[str], *, overseas: bool, legacy_only: bool
) -> None:
    """The token's own first; no further than to the first that gives."""
    outcome, hosts = refreshed(replies, overseas=overseas, legacy_only=legacy_only)
    assert outcome == TokenPair("new", "next")
    assert hosts == asked


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ({CHINA: REFUSED, OVERSEAS: DOWN, LEGACY: DOWN}, TokenExpired),
        ({CHINA: DOWN, OVERSEAS: DOWN, LEGACY: REFUSED}, TokenExpired),
        ({CHINA: DOWN, OVERSEAS: DOWN, LEGACY: DOWN}, UpstreamUnavailable),
    ],
)
def test_a_refusal_counts_more_than_a_host_that_is_away(replies: dict[str, Reply], kind: type[GatewayError]) -> None:
    """It is what the person can mend."""
    assert type(refreshed(replies)[0]) is kind


@pytest.mark.parametrize(("overseas", "site"), [(False, "https://www.kimi.com"), (True, "https://www.kimi.ai")])
def test_models_are_asked_of_the_account_s_site(*, overseas: bool, site: str) -> None:
    """As the account."""
    listed = {"availableModels": [{"scenario": "SCENARIO_K3", "key": "k3"}]}
    transport = FakeTransport(lambda _: json_answer(listed))
    offered = client(transport).offered(Account("token", overseas=overseas))
    assert offered == (ModelEntry(scenario="SCENARIO_K3", key="k3"),)
    assert host(transport.requests[0]) == site
    assert transport.requests[0].headers["Authorization"] == "Bearer token"


def test_the_legacy_site_lists_no_models() -> None:
    """It is not asked."""
    transport = FakeTransport(lambda _: DOWN)
    assert client(transport).offered(Account("token", protocol="rest")) == ()
    assert transport.requests == []


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize(("reply", "live"), [(json_answer({}), True), (REFUSED, False)])
def test_an_account_is_accepted_or_not(reply: Reply, protocol: str, *, live: bool) -> None:
    """By one call that changes nothing."""
    transport = FakeTransport(lambda _: reply)
    assert client(transport).accepts(Account("token", protocol=protocol)) is live
    assert len(transport.requests) == 1


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (DOWN, UpstreamUnavailable),
        (HttpAnswer(429, {}, b""), RateLimitExceeded),
        (json_answer({"code": "permission_denied"}, 403), AccountRestricted),
    ],
)
def test_whether_an_account_is_accepted_may_not_be_known(reply: Reply, kind: type[GatewayError], protocol: str) -> None:
    """Anything but a refusal of the token says nothing of it."""
    with pytest.raises(kind):
        client(FakeTransport(lambda _: reply)).accepts(Account("token", protocol=protocol))


HISTORY = (Message.of(Role.USER, "one"), Message.of(Role.ASSISTANT, "two"), Message.of(Role.USER, "https://a.example"))


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_opening_an_answer_sends_nothing(protocol: str) -> None:
    """Its events do."""
    transport = FakeTransport(lambda _: DOWN)
    client(transport).open(ChatRequest("kimi", HISTORY), Account("token", protocol=protocol), lambda: ())
    assert transport.requests == []


@pytest.mark.parametrize(("conversation_id", "told"), [(None, True), ("chat-9", False)])
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_conversation_is_told_only_what_it_has_not_heard(
    protocol: str, conversation_id: str | None, *, told: bool
) -> None:
    """Kimi keeps the history of its own; links are wrapped for the legacy site."""
    stream = Streamed([frame({"block": {"id": "1", "text": {"content": "hi"}}}), TRAILER])
    transport = FakeTransport(
        lambda r: stream if "tream" in r.url or r.url.endswith("/Chat") else json_answer({"id": "c"})
    )
    request = ChatRequest("kimi", HISTORY, conversation_id=conversation_id)
    exchange = client(transport).open(request, Account("token", protocol=protocol), lambda: ())
    list(exchange.events(Cancellation()))
    asked = (transport.requests[-1].body or b"").decode()
    assert ("two" in asked) is told
    assert ("<url" in json.dumps(asked)) is (protocol == "rest")
