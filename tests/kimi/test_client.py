"""What the rest of the house asks of Kimi."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from app.chat.cancellation import Cancellation
from app.chat.request import ChatRequest, Continuation, Message, Role
from app.errors import (
    AccountRestricted,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.kimi.client import PROTOCOLS, Account, KimiClient
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.quota import Quota
from app.kimi.refresh import TokenPair
from app.kimi.sites import Sites
from app.kimi.turn import Turn
from app.toolcalls.prompt import Guide
from config.models import ModelEntry, load_models
from tests.fakes import JSON, TRAILER, FakeTransport, Reply, Streamed, frame, json_answer
from tests.kimi.bodies import body_of

REFUSED = HttpAnswer(401, JSON, b"{}")
AWAY = UpstreamUnreachable("no connection")
DOWN = UpstreamUnavailable("no")
PAGE = HttpAnswer(200, {"content-type": "text/html"}, b"<html>")
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
        ({CHINA: AWAY, OVERSEAS: REFUSED, LEGACY: PAIR}, False, False, [CHINA, OVERSEAS, LEGACY]),
        ({CHINA: json_answer({}, 404), OVERSEAS: PAIR}, False, False, [CHINA, OVERSEAS]),
        ({CHINA: PAGE, OVERSEAS: PAIR}, False, False, [CHINA, OVERSEAS]),
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
        ({CHINA: REFUSED, OVERSEAS: AWAY, LEGACY: AWAY}, TokenExpired),
        ({CHINA: AWAY, OVERSEAS: AWAY, LEGACY: REFUSED}, TokenExpired),
        ({CHINA: REFUSED, OVERSEAS: DOWN}, TokenExpired),
        ({CHINA: AWAY, OVERSEAS: AWAY, LEGACY: AWAY}, UpstreamUnreachable),
        ({CHINA: AWAY, OVERSEAS: DOWN}, UpstreamUnreachable),
    ],
)
def test_a_refusal_counts_more_than_a_host_that_is_away(replies: dict[str, Reply], kind: type[GatewayError]) -> None:
    """It is what the person can mend; else the first host's word counts."""
    assert type(refreshed(replies)[0]) is kind


@pytest.mark.parametrize(
    "reply",
    [
        UpstreamUnavailable("closed without an answer"),
        UpstreamTimeout("silent"),
        json_answer({"code": "unavailable"}, 503),
        HttpAnswer(502, {"content-type": "text/html"}, b"<html>"),
        HttpAnswer(200, JSON, b'{"accessToken":"ey'),
        HttpAnswer(200, JSON, b""),
    ],
    ids=["closed", "silent", "unavailable", "proxy", "cut", "empty"],
)
@pytest.mark.parametrize("before", [{}, {CHINA: AWAY}], ids=["first host", "second host"])
def test_no_other_host_sees_a_token_that_may_be_spent(before: dict[str, Reply], reply: Reply) -> None:
    """A host that was asked and whose answer was lost may have rotated it: a second use ends the whole family."""
    asked = [*before, OVERSEAS if before else CHINA]
    outcome, hosts = refreshed({**dict.fromkeys([CHINA, OVERSEAS, LEGACY], PAIR), **before, asked[-1]: reply})
    assert isinstance(outcome, GatewayError)
    assert hosts == asked


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


@pytest.mark.parametrize(
    ("protocol", "call"), [("connect", "kimi.gateway.account.v1.UserService/GetCurrentUser"), ("rest", "api/user")]
)
def test_an_account_is_greeted_by_one_call(protocol: str, call: str) -> None:
    """It changes nothing on Kimi's side."""
    transport = FakeTransport(lambda _: json_answer({}))
    client(transport).greet(Account("token", protocol=protocol))
    (request,) = transport.requests
    assert request.url.endswith(f"/{call}")
    assert request.headers["Authorization"] == "Bearer token"


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (REFUSED, TokenExpired),
        (DOWN, UpstreamUnavailable),
        (HttpAnswer(429, {}, b""), RateLimitExceeded),
        (json_answer({"code": "permission_denied"}, 403), AccountRestricted),
        (HttpAnswer(403, {"content-type": "text/html"}, b"<html>"), UpstreamBlocked),
        (PAGE, UpstreamBlocked),
    ],
)
def test_what_speaks_against_an_account_is_raised(reply: Reply, kind: type[GatewayError], protocol: str) -> None:
    """Each as what it is: only a refusal of the token says that it is dead."""
    with pytest.raises(GatewayError) as caught:
        client(FakeTransport(lambda _: reply)).greet(Account("token", protocol=protocol))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("protocol", "call", "told", "quota"),
    [
        ("connect", "GetSubscriptionStats", {"subscriptionBalance": {"amountUsedRatio": 0.25}}, "plan"),
        ("rest", "usage", {"remain": 3, "total": 4, "used": 1}, "research"),
    ],
)
def test_quotas_are_those_that_the_site_tells(protocol: str, call: str, told: dict[str, object], quota: str) -> None:
    """By one call that spends nothing."""
    transport = FakeTransport(lambda _: json_answer(told))
    found = client(transport).quotas(Account("token", protocol=protocol))
    assert found == (Quota(quota, 0.25, chat=quota == "plan"),)
    assert transport.calls == [call]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("reply", [DOWN, HttpAnswer(404, {}, b""), HttpAnswer(200, {}, b"<html>"), json_answer([])])
def test_quotas_that_are_not_told_are_none(reply: Reply, protocol: str) -> None:
    """They are told for information: a site that has no such call has not refused the account."""
    assert client(FakeTransport(lambda _: reply)).quotas(Account("token", protocol=protocol)) == ()


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize(
    ("reply", "kind"), [(REFUSED, TokenExpired), (json_answer({"code": "permission_denied"}, 403), AccountRestricted)]
)
def test_quotas_of_an_account_that_is_refused_say_so(reply: Reply, kind: type[GatewayError], protocol: str) -> None:
    """That concerns more than its quotas."""
    with pytest.raises(kind):
        client(FakeTransport(lambda _: reply)).quotas(Account("token", protocol=protocol))


@pytest.mark.parametrize(
    ("protocol", "overseas", "name"),
    [("connect", False, "www.kimi.com"), ("connect", True, "www.kimi.ai"), ("rest", True, "legacy.example")],
)
def test_a_site_is_told_by_its_host(protocol: str, name: str, *, overseas: bool) -> None:
    """For people to read: without scheme and path."""
    assert client(FakeTransport(lambda _: DOWN)).site(overseas=overseas, protocol=protocol) == name


# --- Deleting ------------------------------------------------------------------------------------------------

BATCH, SINGLE = "BatchDeleteChats", "DeleteChat"
GONE = json_answer({"code": "not_found"}, 404)


def deleted(
    *ids: str, protocol: str = "connect", replies: Mapping[str, Reply] | None = None
) -> tuple[list[str], FakeTransport]:
    """The calls that a deletion takes; those that are not scripted succeed."""
    scripted = replies or {}
    transport = FakeTransport(lambda request: scripted.get(request.url.rpartition("/")[2], json_answer({})))
    client(transport).delete(Account("token", protocol=protocol), ids)
    return transport.calls, transport


def test_one_conversation_is_deleted_by_its_own_call() -> None:
    """As the account."""
    calls, transport = deleted("a")
    assert calls == [SINGLE]
    assert transport.bodies(SINGLE) == [{"chat_id": "a"}]
    assert transport.requests[0].headers["Authorization"] == "Bearer token"


def test_several_conversations_are_deleted_at_once() -> None:
    """In the order of their ids."""
    calls, transport = deleted("a", "b", "c")
    assert calls == [BATCH]
    assert transport.requests[0].url.endswith("/apiv2/kimi.chat.v1.ChatService/BatchDeleteChats")
    assert transport.bodies(BATCH) == [{"chat_ids": ["a", "b", "c"]}]


@pytest.mark.parametrize(
    "reply",
    [
        GONE,
        HttpAnswer(404, {}, b""),
        json_answer({"code": "unimplemented"}, 501),
        json_answer({"code": "invalid_argument"}, 400),
        PAGE,
    ],
    ids=["one is gone", "no such path", "no such call", "refused", "page"],
)
def test_conversations_are_deleted_one_by_one_where_the_site_does_not_take_several(reply: HttpAnswer) -> None:
    """The call is known from clients only; one unknown id may spoil it for the others."""
    calls, transport = deleted("a", "b", replies={BATCH: reply})
    assert calls == [BATCH, SINGLE, SINGLE]
    assert transport.bodies(SINGLE) == [{"chat_id": "a"}, {"chat_id": "b"}]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (REFUSED, TokenExpired),
        (DOWN, UpstreamUnavailable),
        (HttpAnswer(429, {}, b""), RateLimitExceeded),
        (HttpAnswer(500, {}, b""), UpstreamUnavailable),
    ],
)
@pytest.mark.parametrize("ids", [["a"], ["a", "b"]], ids=["one", "several"])
def test_a_deletion_that_fails_says_so(reply: Reply, kind: type[GatewayError], ids: list[str]) -> None:
    """It is tried again later; asking for each would only be more of the same."""
    transport = FakeTransport(lambda _: reply)
    with pytest.raises(kind):
        client(transport).delete(Account("token"), ids)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_page_is_no_word_of_kimi_s_that_a_conversation_is_deleted(protocol: str) -> None:
    """A protection page may come with a status of success; believed, it would leave the conversation for ever."""
    with pytest.raises(UpstreamBlocked):
        deleted("a", protocol=protocol, replies={SINGLE: PAGE, "a": PAGE})


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("ids", [["a"], ["a", "b"]], ids=["one", "several"])
def test_a_conversation_that_is_gone_already_is_deleted(ids: list[str], protocol: str) -> None:
    """By the person's own hand, for instance; the others still are to be."""
    missing = json_answer({"error_type": "chat.not_found", "message": "x"}, 404) if protocol == "rest" else GONE
    transport = FakeTransport(lambda _: missing)
    client(transport).delete(Account("token", protocol=protocol), ids)
    assert [request.url for request in transport.requests if BATCH in request.url] == [
        f"https://www.kimi.com/apiv2/kimi.chat.v1.ChatService/{BATCH}"
    ] * (protocol == "connect" and len(ids) > 1)
    assert len([request for request in transport.requests if BATCH not in request.url]) == len(ids)


def test_the_legacy_site_deletes_one_by_one() -> None:
    """It has no call for several."""
    _, transport = deleted("a", "b", protocol="rest")
    assert [f"{request.method} {request.url}" for request in transport.requests] == [
        f"DELETE {LEGACY}/api/chat/a",
        f"DELETE {LEGACY}/api/chat/b",
    ]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_deleting_nothing_asks_nothing(protocol: str) -> None:
    """There is nothing to tell Kimi."""
    assert deleted(protocol=protocol)[0] == []


# --- Opening -------------------------------------------------------------------------------------------------

REQUEST = ChatRequest("kimi", (Message.of(Role.USER, "never"),))
TURN = Turn("the turn", ("file-1", "file-2"))


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_opening_an_answer_sends_nothing(protocol: str) -> None:
    """Its events do."""
    transport = FakeTransport(lambda _: DOWN)
    client(transport).open(REQUEST, TURN, Account("token", protocol=protocol), lambda: ())
    assert transport.requests == []


def opened(protocol: str, request: ChatRequest, continues: Continuation | None = None) -> HttpRequest:
    """The request for a stream that opening an answer and reading it comes to."""
    stream = Streamed([frame({"block": {"id": "1", "text": {"content": "hi"}}}), TRAILER])
    transport = FakeTransport(
        lambda r: stream if "tream" in r.url or r.url.endswith("/Chat") else json_answer({"id": "chat-1"})
    )
    account = Account("token", protocol=protocol)
    list(client(transport).open(request, TURN, account, lambda: (), continues).events(Cancellation()))
    return transport.requests[-1]


@pytest.mark.parametrize("continues", [None, Continuation("chat-9", "tip")], ids=["new", "continued"])
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_the_turn_is_what_is_said(protocol: str, continues: Continuation | None) -> None:
    """Its text and its files, and nothing of the request's own messages; whoever composed it knows what is new."""
    body = body_of(opened(protocol, REQUEST, continues))
    asked = json.loads(body if protocol == "rest" else body[5:])
    if protocol == "rest":
        assert [asked["messages"], asked["refs"]] == [
            [{"role": "user", "content": "the turn"}],
            ["file-1", "file-2"],
        ]
    else:
        text, *files = asked["message"]["blocks"]
        assert text["text"] == {"content": "the turn"}
        assert [block["file"]["id"] for block in files] == ["file-1", "file-2"]
    assert b"never" not in body


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_where_a_turn_goes_on_is_not_read_from_the_request(protocol: str) -> None:
    """The gateway decides it: the request may name a conversation that it has replaced by a new one."""
    request = ChatRequest("kimi", REQUEST.messages, conversation_id="chat-8")
    for continues, told in ((None, False), (Continuation("chat-9", "tip"), True)):
        sent = opened(protocol, request, continues)
        assert "chat-8" not in sent.url + body_of(sent).decode(errors="replace")
        assert ("chat-9" in sent.url + body_of(sent).decode(errors="replace")) is told


# --- Composing -----------------------------------------------------------------------------------------------

HISTORY = (
    Message.of(Role.SYSTEM, "Be brief."),
    Message.of(Role.ASSISTANT, "two"),
    Message.of(Role.USER, "https://a.example"),
)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_messages_are_composed_as_the_protocol_takes_them(protocol: str) -> None:
    """One text; links are marked for the legacy site, which reads them only so."""
    url = "https://a.example"
    link = f'<url id="" type="url" status="" title="" wc="">{url}</url>' if protocol == "rest" else url
    assert client(FakeTransport(lambda _: DOWN)).compose(HISTORY, protocol, Guide()) == (
        "<instructions>\nBe brief.\n</instructions>\n\n"
        '<conversation>\n<message role="assistant">\ntwo\n</message>\n</conversation>\n\n' + link
    )
