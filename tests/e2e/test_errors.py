"""Failures before the first word: the true status, the contract's code, the SDK's own exception class."""

import time
from contextlib import ExitStack
from typing import Any

import pytest
from openai import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from openai.types.chat import ChatCompletionMessageParam

from emulator.client import EmulatorControl
from tests.e2e.conftest import QUICK, NewGuest
from tests.e2e.faults import CONNECT, EITHER, LEGACY, Case, legacy, trailer
from tests.e2e.support import Door, Gateway, Guest, until

pytestmark = pytest.mark.e2e

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
CLASSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    502: InternalServerError,
    503: InternalServerError,
    504: InternalServerError,
}
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def refused(door: Door, *, stream: bool, model: str = "kimi") -> APIStatusError:
    """Ask for an answer that must be refused with a status."""
    with pytest.raises(APIStatusError) as error:
        door.client.chat.completions.create(model=model, messages=HI, stream=stream)
    return error.value


def check(door: Door, case: Case, *, stream: bool) -> None:
    """Play a fault, and look at all that the contract says of its answer."""
    door.guest.plan(case.plan, {"text": "A second completion was sent."})
    error = refused(door, stream=stream)
    assert (error.status_code, error.code) == (case.status, case.code)
    assert type(error) is CLASSES[case.status]
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert "secret words" not in error.message
    assert error.response.headers["content-type"] == "application/json"
    assert error.response.headers["x-should-retry"] == "false"
    assert ("retry-after" in error.response.headers) is case.retry_after
    assert error.request_id
    assert len(door.guest.completions()) == 1


def names(cases: list[Case]) -> pytest.MarkDecorator:
    """Turn cases into parameters."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


@BOTH_WAYS
@names(EITHER)
def test_faults_of_either_site(door: Door, case: Case, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What breaks below the protocols has one meaning over both."""
    check(door, case, stream=stream)


@BOTH_WAYS
@names(CONNECT)
def test_faults_of_the_connect_site(connect: Door, case: Case, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Errors under HTTP 200 and beside it."""
    check(connect, case, stream=stream)


@BOTH_WAYS
@names(LEGACY)
def test_faults_of_the_legacy_site(rest: Door, case: Case, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Errors by their error_type, in the stream and beside it."""
    check(rest, case, stream=stream)


@pytest.mark.parametrize("stays", [True, False], ids=["for-good", "once"])
def test_a_refused_access_token_is_renewed_once(rest: Door, stays: bool) -> None:  # noqa: FBT001 # a parameter
    """A plain 401 costs one refresh and one more attempt; a second one is the client's."""
    refusal = legacy("auth.token.invalid", 401)
    rest.guest.plan(refusal, refusal if stays else {"text": QUICK})
    reply = rest.whole()
    assert reply.status == (401 if stays else 200)
    assert not stays or reply.error["code"] == "token_expired"
    assert len(rest.guest.completions()) == 2
    assert rest.guest.all_deleted(2)  # which needs a token as well, and no other one
    refreshes = [entry["path"].rpartition("/")[2] for entry in rest.guest.calls() if "efresh" in entry["path"]]
    assert refreshes == ["refresh", "RefreshToken"]  # the old opaque token was exchanged for one of today's


@BOTH_WAYS
@pytest.mark.parametrize("faults", [{"stall_headers": True}, {"stall_after": 0}, {"stall_after": 3}])
def test_a_stall_is_a_timeout(hasty: Door, faults: dict[str, object], stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Silence before the headers, after them, and within the opening frames is a 504."""
    check(hasty, Case("stall", {"faults": faults}, 504, "upstream_timeout"), stream=stream)


def test_a_stall_ends_at_its_limit(hasty: Door) -> None:
    """The client is told when the limit of 0.6 s is over; the other limits would say other words."""
    hasty.guest.plan({"faults": {"stall_after": 0}})
    began = time.monotonic()
    error = refused(hasty, stream=False)
    assert error.status_code == 504
    assert "stopped sending" in error.message
    assert time.monotonic() - began > 0.5


@pytest.mark.parametrize(
    ("stream", "limit", "words"),
    [(False, 1.8, "not whole in the time"), (True, 2.5, "longer than the gateway allows")],
    ids=["whole", "streamed"],
)
def test_an_answer_that_never_ends(hasty: Door, stream: bool, limit: float, words: str) -> None:  # noqa: FBT001 # a parameter
    """Heartbeats do not keep an answer alive for ever: WHOLE_ANSWER_TIMEOUT and TOTAL_TIMEOUT end it with a 504."""
    hasty.guest.plan({"faults": {"stall_after": 6, "heartbeat_every": 0.2}})
    began = time.monotonic()
    error = refused(hasty, stream=stream)
    assert (error.status_code, error.code) == (504, "upstream_timeout")
    assert words in error.message
    assert time.monotonic() - began > limit - 0.1
    assert hasty.guest.all_deleted()
    assert [chat["cancelled"] for chat in hasty.guest.chats()] == [True]


def test_dripping_bytes_are_an_answer(rest: Door) -> None:
    """An answer that comes byte by byte is as good as any."""
    rest.guest.plan({"text": "Drop.", "faults": {"drip": 0.0001}})
    assert rest.whole().json()["choices"][0]["message"]["content"] == "Drop."


def test_signs_of_life_are_no_silence(hasty: Door) -> None:
    """Heartbeats keep an answer waiting for longer than the limit of silence."""
    hasty.guest.plan({"text": "Late.", "silent_after_headers": 1.2, "faults": {"heartbeat_every": 0.2}})
    answer = hasty.client.chat.completions.create(model="kimi", messages=HI)
    assert answer.choices[0].message.content == "Late."


@pytest.mark.parametrize(
    "fault",
    [
        {"degrade_notice": True},
        {"no_trailer": True},
        {"compressed_gzip": True},
        {"unknown_mask": True, "unknown_op": True, "unknown_block": True},
        {"heartbeat_every": 0.01},
        {"status_value": "MESSAGE_STATUS_UNSPECIFIED"},
    ],
    ids=lambda fault: next(iter(fault)),
)
@BOTH_WAYS
def test_harmless_oddities(connect: Door, fault: dict[str, object], stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What no error is does not touch the answer."""
    connect.guest.plan({"text": "All is well.", "delay": 0.02, "faults": fault})
    if stream:
        with connect.streamed() as answer:
            pieces = list(answer.pieces())
        assert "".join(piece.content for piece in pieces) == "All is well."
        assert pieces[-1].line == "data: [DONE]"
    else:
        assert connect.whole().json()["choices"][0]["message"]["content"] == "All is well."


@pytest.mark.parametrize("model_list", [{"status": 500}, {"answer": {"availableModels": "none"}}, {"answer": {}}])
def test_a_model_list_that_drifts(connect: Door, kimi: EmulatorControl, model_list: dict[str, Any]) -> None:
    """Where the list cannot be read, the static table serves."""
    kimi.models(**model_list)
    try:
        assert connect.whole().status == 200
    finally:
        kimi.models()


@pytest.mark.parametrize("case", [case for case in CONNECT if case.name in {"overload", "quota"}], ids=lambda c: c.name)
def test_the_sdk_does_not_repeat_what_is_hopeless(
    connect_gateway: Gateway, guest: Guest, clients: ExitStack, case: Case
) -> None:
    """With its two automatic retries the SDK sends one completion, because it is told not to repeat it."""
    guest.plan(case.plan, repeat=True)
    client = clients.enter_context(connect_gateway.openai(guest.access_token, max_retries=2))
    with pytest.raises(RateLimitError) as error:
        client.chat.completions.create(model="kimi", messages=HI)
    assert error.value.response.headers["x-should-retry"] == "false"
    assert int(error.value.response.headers["retry-after"]) > 0
    assert len(guest.completions()) == 1


def test_kimis_own_pause_is_passed_on(door: Door) -> None:
    """Where Kimi says how long to wait, the client hears it."""
    door.guest.plan({"status": 429, "body": "slow down", "headers": {"retry-after": "17"}})
    assert refused(door, stream=False).response.headers["retry-after"] == "17"


def test_spent_research_is_not_begun(rest_gateway: Gateway, new_guest: NewGuest, clients: ExitStack) -> None:
    """Without research turns left no turn is sent: 429."""
    guest = new_guest(research_remaining=0)
    client = clients.enter_context(rest_gateway.openai(guest.legacy_token))
    with pytest.raises(RateLimitError):
        client.chat.completions.create(model="kimi-research", messages=HI)
    assert guest.completions() == []


DEAD = pytest.mark.parametrize(
    ("state", "told"), [("revoked", (401, "token_expired")), ("restricted", (403, "account_restricted"))]
)


@DEAD
@pytest.mark.parametrize("kind", ["access", "refresh", "legacy"])
def test_a_dead_account(connect_gateway: Gateway, guest: Guest, kind: str, state: str, told: tuple[int, str]) -> None:
    """A revoked token and a restricted account are told apart, by whichever token they come."""
    guest.change(state=state)
    reply = connect_gateway.chat(getattr(guest, f"{kind}_token"))
    assert (reply.status, reply.error["code"]) == told


@DEAD
@pytest.mark.parametrize("kind", ["access", "refresh", "legacy"])
def test_models_for_a_dead_account(
    connect_gateway: Gateway, guest: Guest, kind: str, state: str, told: tuple[int, str]
) -> None:
    """GET /v1/models, by which clients check a key, says so too."""
    guest.change(state=state)
    reply = connect_gateway.request("GET", "/v1/models", token=getattr(guest, f"{kind}_token"))
    assert (reply.status, reply.error["code"]) == told


@DEAD
def test_a_dead_account_on_the_legacy_site(rest: Door, state: str, told: tuple[int, str]) -> None:
    """The legacy site's refusals mean the same."""
    rest.guest.change(state=state)
    reply = rest.whole()
    assert (reply.status, reply.error["code"]) == told


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_token_past_its_end(connect_gateway: Gateway, new_guest: NewGuest, kind: str) -> None:
    """A token whose exp is over is refused without a call."""
    guest = new_guest(access_seconds=-60, refresh_seconds=-60)
    reply = connect_gateway.chat(getattr(guest, f"{kind}_token"))
    assert (reply.status, reply.error["code"]) == (401, "token_expired")
    assert guest.calls() == []


def test_a_refresh_token_that_was_used_elsewhere(hasty_gateway: Gateway, new_guest: NewGuest) -> None:
    """A refresh token that is spent is a 401 of its own code, once and again."""
    guest = new_guest(reuse_window=0, state="revoked")
    for _ in range(3):
        reply = hasty_gateway.chat(guest.refresh_token)
        assert (reply.status, reply.error["code"]) == (401, "token_expired")
    assert len(guest.calls("/RefreshToken")) == 1  # one worker: a dead token does not hammer Kimi


def test_a_token_that_kimi_never_issued(connect_gateway: Gateway) -> None:
    """A well-formed token that Kimi does not know is a 401."""
    reply = connect_gateway.chat("0123456789abcdef" * 2)
    assert (reply.status, reply.error["code"]) == (401, "token_expired")


def test_the_auth_host_is_gone(connect_gateway: Gateway, guest: Guest, kimi: EmulatorControl) -> None:
    """Where the auth host knows nothing of refreshing, the legacy site refreshes."""
    kimi.auth(status=404)
    try:
        assert connect_gateway.chat(guest.refresh_token).status == 200
    finally:
        kimi.auth()
    refreshes = [entry["path"].rpartition("/")[2] for entry in guest.calls() if "efresh" in entry["path"]]
    assert refreshes[-1] == "refresh"


def test_the_auth_host_fails(connect_gateway: Gateway, guest: Guest, kimi: EmulatorControl) -> None:
    """A host that fails may have spent the token: no other host is shown it, and the client may come again."""
    kimi.auth(status=503)
    try:
        reply = connect_gateway.chat(guest.refresh_token)
        assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
        assert connect_gateway.chat(guest.refresh_token).status == 503
    finally:
        kimi.auth()
    assert [entry["path"].rpartition("/")[2] for entry in guest.calls()] == ["RefreshToken"]
    assert until(lambda: connect_gateway.chat(guest.refresh_token).status == 200)


@BOTH_WAYS
def test_nobody_is_there(cut_off_gateway: Gateway, guest: Guest, clients: ExitStack, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A closed port is a 503, and the one failure that may be tried again at once: nothing was sent."""
    client = clients.enter_context(cut_off_gateway.openai(guest.access_token))
    with pytest.raises(InternalServerError) as error:
        client.chat.completions.create(model="kimi", messages=HI, stream=stream)
    assert (error.value.status_code, error.value.code) == (503, "upstream_unavailable")
    assert error.value.response.headers["x-should-retry"] == "true"
    assert not isinstance(error.value, APIConnectionError)


def test_nobody_is_there_to_refresh(cut_off_gateway: Gateway, guest: Guest) -> None:
    """A refresh that cannot be tried does not call the token dead."""
    reply = cut_off_gateway.chat(guest.refresh_token)
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")


SWITCHING = [
    trailer("unauthenticated", "REASON_INVALID_AUTH_TOKEN"),
    trailer("permission_denied"),
    trailer("resource_exhausted"),
    {"faults": {"overload_trailer": True}},
]
STAYING = [trailer("invalid_argument"), trailer("permission_denied", paywall={"level": 1}), {"faults": {"html": True}}]


def _tokens(*guests: Guest) -> str:
    return ", ".join(guest.access_token for guest in guests)


@pytest.mark.parametrize("plan", SWITCHING, ids=["expired", "restricted", "quota", "busy"])
@BOTH_WAYS
def test_another_account_serves(
    connect_gateway: Gateway,
    new_guest: NewGuest,
    plan: dict[str, object],
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """For the contract's codes the next account is tried, and the client sees only its answer."""
    ill, well = new_guest(), new_guest()
    ill.plan(plan, repeat=True)
    for _ in range(4):
        reply = connect_gateway.chat(_tokens(ill, well), stream=stream)
        assert reply.status == 200
        assert b"error" not in reply.body
    assert len(ill.completions()) == 1  # neither had been used, so the first of the list was asked; then it was known
    assert len(well.completions()) == 4


@pytest.mark.parametrize("plan", STAYING, ids=["invalid", "paywall", "html"])
def test_another_account_is_not_tried(connect_gateway: Gateway, new_guest: NewGuest, plan: dict[str, object]) -> None:
    """What another account cannot mend is told at once: one completion in all."""
    ann, bob = new_guest(), new_guest()
    ann.plan(plan)
    bob.plan(plan)
    assert connect_gateway.chat(_tokens(ann, bob)).status >= 400
    assert len(ann.completions()) + len(bob.completions()) == 1


@BOTH_WAYS
def test_another_account_is_not_tried_after_the_first_word(
    connect_gateway: Gateway,
    new_guest: NewGuest,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """An answer that has begun is never begun again elsewhere."""
    guests = new_guest(), new_guest()
    for guest in guests:
        error = {"code": "resource_exhausted", "after_text": 5}
        guest.plan({"text": "Five words and no more", "faults": {"error_trailer": error}})
    reply = connect_gateway.chat(_tokens(*guests), stream=stream)
    assert b"rate_limit_exceeded" in reply.body
    assert sum(len(guest.completions()) for guest in guests) == 1


def test_all_accounts_fail(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """Each account is asked once, then the client is told."""
    guests = [new_guest() for _ in range(3)]
    for guest in guests:
        guest.plan({"faults": {"overload_trailer": True}}, repeat=True)
    assert connect_gateway.chat(_tokens(*guests)).status == 429
    assert [len(guest.completions()) for guest in guests] == [1, 1, 1]
