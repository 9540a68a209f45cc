"""Many requests and several accounts: who serves, who waits, who is left alone, and what a client is told of it."""

import time
from collections.abc import Callable, Iterator

import pytest

from emulator.client import AccountTokens, EmulatorControl, LogEntry
from tests.e2e.conftest import QUEUE, QUICK, NewGuest, running
from tests.e2e.faults import CONNECT, EITHER, Case, trailer
from tests.e2e.support import Door, Gateway, Guest, Reply, at_once, entered, until

pytestmark = pytest.mark.e2e

SLOW: dict[str, object] = {"text": "0123456789", "piece": 1, "delay": 0.1}
"""An answer that takes a second."""

BRIEF: dict[str, object] = {"text": "0123", "piece": 1, "delay": 0.04}
SWITCHING = {"token_expired", "account_restricted", "rate_limit_exceeded", "upstream_busy"}
"""The codes of the contract's section 5 for which another account may be tried."""

OVERLOAD: dict[str, object] = {"faults": {"overload_trailer": True}}
KEY = "a-key-of-this-gateway"


def keys(*guests: Guest) -> str:
    """Give a list of credentials."""
    return ",".join(guest.refresh_token for guest in guests)


def peak(entries: list[LogEntry]) -> int:
    """How many of these requests ran at the same time, at most."""
    ends = [(entry["at"], 1) for entry in entries] + [(entry["at"] + entry["seconds"], -1) for entry in entries]
    running_now = most = 0
    for _, step in sorted(ends):
        running_now += step
        most = max(most, running_now)
    return most


def code_of(reply: Reply) -> str:
    """The error's code, nothing for an answer."""
    return "" if reply.status == 200 else str(reply.error["code"])


def begun(guest: Guest, count: int = 1) -> bool:
    """Wait until Kimi has so many completions of an account."""
    return until(lambda: len(guest.completions()) >= count)


@pytest.fixture(scope="module")
def tight_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Lets nobody wait for long."""
    with running(kimi.base_url, CONTINUITY="off", QUEUE_SECONDS="0.5") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def narrow_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Gives one answer at a time."""
    with running(kimi.base_url, CONTINUITY="off", QUEUE_SECONDS="0.3", MAX_STREAMS="1") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def staff(kimi: EmulatorControl, issued: list[AccountTokens]) -> list[Guest]:
    """Make the accounts of an operator."""
    issued += [kimi.account(f"staff-{number}") for number in range(3)]
    return [Guest(kimi, tokens) for tokens in issued[-3:]]


@pytest.fixture(scope="module")
def staffed_gateway(kimi: EmulatorControl, staff: list[Guest]) -> Iterator[Gateway]:
    """Serves who has its key with accounts of its own, and takes no others."""
    with running(kimi.base_url, workers=2, API_KEYS=KEY, KIMI_TOKENS=keys(*staff)) as gateway:
        yield gateway


def test_an_account_has_two_streams_at_a_time(door: Door) -> None:
    """Of twelve requests at once, over two workers, Kimi sees two at a time; all are answered in their turn."""
    door.guest.plan(BRIEF, repeat=True)
    replies = at_once(*[lambda: door.gateway.chat(door.guest.refresh_token) for _ in range(12)])
    assert [reply.status for reply in replies] == [200] * 12
    assert len(door.guest.completions()) == 12
    assert peak(door.guest.completions()) == 2


def test_tokens_of_one_person_are_one_account(connect_gateway: Gateway, guest: Guest) -> None:
    """Whichever of a person's tokens requests come by, together they have two streams."""
    guest.plan(BRIEF, repeat=True)
    tokens = [guest.access_token, guest.refresh_token, keys(guest, guest)] * 2
    replies = at_once(*(lambda token=token: connect_gateway.chat(token) for token in tokens))
    assert [reply.status for reply in replies] == [200] * 6
    assert peak(guest.completions()) == 2


def test_accounts_do_not_wait_for_each_other(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """An account that is busy keeps nobody else waiting."""
    busy, free = new_guest(), new_guest()
    busy.plan(SLOW, repeat=True)

    def quick() -> float:
        assert begun(busy, 2)
        began = time.monotonic()
        assert connect_gateway.chat(free.access_token).status == 200
        return time.monotonic() - began

    *_, seconds = at_once(*[lambda: float(connect_gateway.chat(busy.access_token).status) for _ in range(3)], quick)
    assert seconds < 0.8


def test_nobody_waits_longer_than_the_queue(tight_gateway: Gateway, guest: Guest) -> None:
    """After QUEUE_SECONDS a request is told to come again later, and Kimi has not heard of it."""
    guest.plan(SLOW, repeat=True)

    def late() -> Reply:
        assert begun(guest, 2)
        began = time.monotonic()
        reply = tight_gateway.chat(guest.access_token)
        assert 0.4 < time.monotonic() - began < 0.9
        return reply

    first, second, third = at_once(*[lambda: tight_gateway.chat(guest.access_token)] * 2, late)
    assert (first.status, second.status) == (200, 200)
    assert (third.status, code_of(third)) == (429, "rate_limit_exceeded")
    assert int(third.headers["retry-after"]) > 0
    assert third.headers["x-should-retry"] == "false"
    assert len(guest.completions()) == 2


def test_the_worker_is_full(narrow_gateway: Gateway, new_guest: NewGuest) -> None:
    """Beyond MAX_STREAMS a request waits, and is then told that the gateway is overloaded."""
    ann, bob = new_guest(), new_guest()
    ann.plan(SLOW)

    def late() -> Reply:
        assert begun(ann)
        return narrow_gateway.chat(bob.access_token)

    first, second = at_once(lambda: narrow_gateway.chat(ann.access_token), late)
    assert first.status == 200
    assert (second.status, code_of(second)) == (503, "overloaded")
    assert int(second.headers["retry-after"]) > 0
    assert second.headers["x-should-retry"] == "false"
    assert bob.completions() == []
    assert until(lambda: narrow_gateway.chat(bob.access_token).status == 200)


def test_a_stream_that_waits_shows_signs_of_life(connect_gateway: Gateway, guest: Guest) -> None:
    """A streamed answer whose turn does not come gets its head and keep-alives meanwhile, and then its words."""
    guest.plan(SLOW, SLOW, {"text": "At last."})

    def late() -> list[str]:
        assert begun(guest, 2)
        with connect_gateway.chat_stream(guest.access_token) as stream:
            assert stream.response.status == 200
            return [piece.line if piece.line[0] == ":" else piece.content for piece in stream.pieces()]

    *_, lines = at_once(*[lambda: [connect_gateway.chat(guest.access_token).body.decode()] for _ in range(2)], late)
    assert lines[0] == ": keep-alive"
    assert "".join(line for line in lines if line[:1] != ":") == "At last."


def test_who_leaves_the_line_is_not_served(connect_gateway: Gateway, guest: Guest) -> None:
    """A client that hangs up while it waits costs nothing, and the next one comes earlier for it."""
    guest.plan(SLOW, SLOW, {"text": QUICK}, {"text": QUICK})

    def impatient() -> int:
        assert begun(guest, 2)
        with connect_gateway.chat_stream(guest.access_token, stream=False) as stream:
            time.sleep(0.2)
            stream.hang_up()
        return connect_gateway.chat(guest.access_token).status

    assert at_once(*[lambda: connect_gateway.chat(guest.access_token).status for _ in range(2)], impatient) == [200] * 3
    assert len(guest.completions()) == 3


def test_the_longest_unused_serves(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """Requests one after another go round all accounts, whichever worker has them."""
    guests = [new_guest() for _ in range(3)]
    for count in range(1, 4):
        for _ in guests:
            assert connect_gateway.chat(keys(*guests)).status == 200
        assert [len(guest.completions()) for guest in guests] == [count] * 3


def test_the_least_busy_serves(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """While one account gives a long answer the others serve."""
    busy, free = new_guest(), new_guest()
    busy.plan({"text": "0123456789", "piece": 1, "delay": 0.25})

    def others() -> list[int]:
        assert begun(busy)
        statuses = []
        for _ in range(4):
            assert until(lambda: connect_gateway.check(free.access_token)["streams"] == 0)  # also of the one before
            statuses.append(connect_gateway.chat(keys(busy, free)).status)
        return statuses

    assert at_once(lambda: [connect_gateway.chat(busy.access_token).status], others) == [[200], [200] * 4]
    assert (len(busy.completions()), len(free.completions())) == (1, 4)


def test_three_accounts_share_a_crowd(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """Six requests at once are two for each of three accounts, and none waits."""
    guests = [new_guest() for _ in range(3)]
    for guest in guests:
        guest.plan(SLOW, repeat=True)
    replies = at_once(*[lambda: connect_gateway.chat(keys(*guests)) for _ in range(6)])
    assert [reply.status for reply in replies] == [200] * 6
    assert [len(guest.completions()) for guest in guests] == [2, 2, 2]
    assert peak([entry for guest in guests for entry in guest.completions()]) == 6


@pytest.mark.parametrize("case", [*EITHER, *CONNECT], ids=lambda case: case.name)
def test_another_account_is_tried_for_the_contracts_codes_only(
    connect_gateway: Gateway, new_guest: NewGuest, case: Case
) -> None:
    """For four codes the next account serves unnoticed; for all others the client is told, and nobody else asked."""
    ill, well = new_guest(), new_guest()
    ill.plan(case.plan, repeat=True)
    reply = connect_gateway.chat(f"{ill.access_token},{well.access_token}")
    switches = case.code in SWITCHING
    assert (reply.status, code_of(reply)) == ((200, "") if switches else (case.status, case.code))
    assert (len(ill.completions()), len(well.completions())) == (1, int(switches))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_account_that_was_refused_is_left_alone(
    door: Door,
    new_guest: NewGuest,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """The refusal is remembered by all workers: one question to the ill account, all others to the good one."""
    ill, well = new_guest(state="spent"), new_guest()
    for _ in range(6):
        reply = door.gateway.chat(keys(ill, well), stream=stream)
        assert reply.status == 200
        assert b'"error"' not in reply.body
    assert (len(ill.completions()), len(well.completions())) == (1, 6)


@pytest.mark.parametrize("state", ["restricted", "revoked"])
def test_an_account_that_is_set_aside(connect_gateway: Gateway, new_guest: NewGuest, state: str) -> None:
    """That Kimi does not let an account in is known to all workers after one attempt."""
    ill, well = new_guest(state=state), new_guest()
    for _ in range(4):
        assert connect_gateway.chat(f"{ill.access_token},{well.refresh_token}").status == 200
    assert len(ill.completions()) == 1
    assert len(well.completions()) == 4


def test_a_single_account_is_left_alone_as_well(connect_gateway: Gateway, guest: Guest) -> None:
    """Without another account the client is told at once for how long, and Kimi is not asked in vain."""
    guest.plan(OVERLOAD, repeat=True)
    replies = [connect_gateway.chat(guest.access_token) for _ in range(4)]
    assert [(reply.status, code_of(reply)) for reply in replies] == [(429, "upstream_busy")] * 4
    assert {reply.headers["x-should-retry"] for reply in replies} == {"false"}
    waits = [int(reply.headers["retry-after"]) for reply in replies]
    assert waits[0] == 30
    assert all(25 <= wait <= 30 for wait in waits)
    assert len(guest.completions()) == 1


def test_all_accounts_are_ill_in_their_own_ways(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """The client is told that none is ready, and when the first may be again."""
    busy, shut = new_guest(), new_guest(state="restricted")
    busy.plan(OVERLOAD, repeat=True)
    for _ in range(2):
        reply = connect_gateway.chat(f"{busy.access_token},{shut.access_token}")
        assert (reply.status, code_of(reply)) == (503, "no_account_ready")
        assert 25 <= int(reply.headers["retry-after"]) <= 30
        assert reply.headers["x-should-retry"] == "false"


def test_all_accounts_are_spent(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """With the same illness everywhere its own code is told, and the soonest time."""
    guests = [new_guest(state="spent", reset_seconds=seconds) for seconds in (7200, 3600)]
    for _ in range(2):
        reply = connect_gateway.chat(keys(*guests))
        assert (reply.status, code_of(reply)) == (429, "rate_limit_exceeded")
        assert 3500 < int(reply.headers["retry-after"]) <= 3601
    assert [len(guest.completions()) for guest in guests] == [1, 1]


def _by_header(guest: Guest) -> None:
    guest.plan({"status": 429, "body": "slow down", "headers": {"retry-after": "2"}}, {"text": QUICK})


def _by_reset_time(guest: Guest) -> None:
    guest.change(state="spent", reset_seconds=2)


@pytest.mark.parametrize("fall_ill", [_by_header, _by_reset_time], ids=["retry-after", "reset-time"])
def test_kimis_own_time_counts(connect_gateway: Gateway, guest: Guest, fall_ill: Callable[[Guest], None]) -> None:
    """A pause that Kimi tells is kept exactly: a request that can wait for its end is served right after it."""
    fall_ill(guest)
    began = time.monotonic()
    first = connect_gateway.chat(guest.access_token)
    assert (first.status, first.headers["retry-after"]) == (429, "2")
    guest.change(state="ok")
    assert connect_gateway.chat(guest.access_token).status == 200
    assert 1.7 < time.monotonic() - began < 3
    assert len(guest.completions()) == 2


def test_a_long_pause_is_not_waited_for(connect_gateway: Gateway, guest: Guest) -> None:
    """Where a pause ends later than the waiting would, the client is told at once, with what is left of it."""
    guest.plan({"status": 429, "body": "slow down", "headers": {"retry-after": "60"}}, {"text": QUICK})
    assert connect_gateway.chat(guest.access_token).headers["retry-after"] == "60"
    began = time.monotonic()
    reply = connect_gateway.chat(guest.access_token)
    assert time.monotonic() - began < QUEUE / 2
    assert (reply.status, code_of(reply)) == (429, "rate_limit_exceeded")
    assert 50 <= int(reply.headers["retry-after"]) <= 60
    assert len(guest.completions()) == 1


def test_a_pause_concerns_one_kind_of_request(rest_gateway: Gateway, new_guest: NewGuest) -> None:
    """An account whose research is used up still chats."""
    guest = new_guest(research_remaining=0)
    assert code_of(rest_gateway.chat(guest.refresh_token, model="kimi-research")) == "rate_limit_exceeded"
    assert rest_gateway.chat(guest.refresh_token).status == 200
    assert code_of(rest_gateway.chat(guest.refresh_token, model="kimi-research")) == "rate_limit_exceeded"
    assert len([entry for entry in guest.calls() if "research" in entry["path"]]) == 1


def test_an_account_that_takes_one_stream(door: Door, new_guest: NewGuest) -> None:
    """The first collision may be repeated at once; from then on requests wait for each other, and all succeed."""
    guest = new_guest(max_streams=1)
    guest.plan(SLOW, repeat=True)

    def second() -> Reply:
        assert begun(guest)
        return door.gateway.chat(guest.refresh_token)

    served, refused = at_once(lambda: door.gateway.chat(guest.refresh_token), second)
    assert served.status == 200
    assert (refused.status, code_of(refused)) == (429, "rate_limit_exceeded")
    assert refused.headers["x-should-retry"] == "true"
    assert int(refused.headers["retry-after"]) <= 2

    guest.plan(BRIEF, repeat=True)
    replies = at_once(*[lambda: door.gateway.chat(guest.refresh_token) for _ in range(6)])
    assert [reply.status for reply in replies] == [200] * 6
    assert len(guest.completions()) == 8
    assert peak(guest.completions()[2:]) == 1


def test_the_sdk_repeats_a_collision(door: Door, new_guest: NewGuest) -> None:
    """An unchanged SDK with its own retries has every answer, and Kimi one conversation for each."""
    guest = new_guest(max_streams=1)
    guest.plan(BRIEF, repeat=True)

    def ask() -> str | None:
        with entered(door.gateway, guest, guest.refresh_token, max_retries=2) as entry:
            fields = {"model": "kimi", "messages": [{"role": "user", "content": "Hi"}]}
            return entry.client.chat.completions.create(**fields).choices[0].message.content  # type: ignore[call-overload,no-any-return]

    assert at_once(*[ask] * 4) == ["0123"] * 4
    assert until(lambda: guest.left() == [])
    assert len([chat for chat in guest.chats() if any(said["role"] == "assistant" for said in chat["messages"])]) == 4


def test_a_collision_moves_to_another_account(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """With a second account a refused second stream is served there, unnoticed."""
    single, other = new_guest(max_streams=1), new_guest(state="spent")
    single.plan(SLOW, SLOW)
    assert connect_gateway.chat(other.refresh_token).status == 429  # so that both streams are tried on the first one
    other.change(state="ok")
    third = new_guest()

    def second() -> int:
        assert begun(single)
        single_first = f"{single.refresh_token},{third.refresh_token}"
        return connect_gateway.chat(single_first).status

    assert at_once(lambda: connect_gateway.chat(single.refresh_token).status, second) == [200, 200]


def test_a_key_spreads_over_the_operators_accounts(staffed_gateway: Gateway, staff: list[Guest]) -> None:
    """Clients that share a key are served by all accounts behind it, two streams each."""
    for guest in staff:
        guest.plan(BRIEF, repeat=True)
    replies = at_once(*[lambda: staffed_gateway.chat(KEY) for _ in range(12)])
    assert [reply.status for reply in replies] == [200] * 12
    counts = [len(guest.completions()) for guest in staff]
    assert sum(counts) == 12
    assert min(counts) >= 3
    assert max(peak(guest.completions()) for guest in staff) == 2


def test_a_key_outlives_an_account(staffed_gateway: Gateway, staff: list[Guest]) -> None:
    """While one account of the operator's is ill the others serve; with all of them ill the client hears of it."""
    for guest in staff:
        guest.plan({"text": QUICK}, repeat=True)
    staff[0].change(state="restricted")
    assert {staffed_gateway.chat(KEY).status for _ in range(6)} == {200}
    for guest in staff:
        guest.change(state="restricted")
    last = [staffed_gateway.chat(KEY) for _ in range(2)]
    assert [(reply.status, code_of(reply)) for reply in last] == [(403, "account_restricted")] * 2


def test_a_quota_without_a_word_on_time(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """A quota that is spent by Kimi's word alone is a pause of thirty seconds."""
    guest = new_guest()
    guest.plan(trailer("resource_exhausted"), {"text": QUICK})
    first, second = (connect_gateway.chat(guest.access_token) for _ in range(2))
    assert (first.status, first.headers["retry-after"]) == (429, "30")
    assert (second.status, code_of(second)) == (429, "rate_limit_exceeded")
    assert len(guest.completions()) == 1
