"""What is wrong with an account: told apart by the error of an answer, by POST /token/check, and by the doctor."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from emulator.client import AccountTokens, EmulatorControl
from scripts.serving import ROOT, environment_of
from tests.e2e.conftest import QUEUE, NewGuest, running
from tests.e2e.support import Gateway, Guest

pytestmark = pytest.mark.e2e

HOUR = 3600


@dataclass(frozen=True)
class Case:
    """One bad kind: an account, the token it comes by, and what is told of it."""

    name: str
    kind: str
    settings: dict[str, object]
    told: tuple[int, str]
    reason: str
    live: bool = field(default=False)


EXPIRED: dict[str, object] = {"access_seconds": -60, "refresh_seconds": -60}
SPENT: dict[str, object] = {"state": "spent", "reset_seconds": HOUR}
CASES = [
    Case("good", "refresh", {}, (200, ""), "ok", live=True),
    Case("good-access", "access", {}, (200, ""), "ok", live=True),
    Case("expired", "refresh", EXPIRED, (401, "token_expired"), "token_expired"),
    Case("expired-access", "access", EXPIRED, (401, "token_expired"), "token_expired"),
    Case("revoked", "refresh", {"state": "revoked"}, (401, "token_expired"), "refresh_refused"),
    Case("revoked-legacy", "legacy", {"state": "revoked"}, (401, "token_expired"), "refresh_refused"),
    Case("revoked-access", "access", {"state": "revoked"}, (401, "token_expired"), "token_expired"),
    Case("restricted", "refresh", {"state": "restricted"}, (403, "account_restricted"), "account_restricted"),
    Case("restricted-access", "access", {"state": "restricted"}, (403, "account_restricted"), "account_restricted"),
    Case("spent", "refresh", SPENT, (429, "rate_limit_exceeded"), "quota_spent", live=True),
    Case("spent-access", "access", SPENT, (429, "rate_limit_exceeded"), "quota_spent", live=True),
    Case("spent-untold", "refresh", {"state": "spent"}, (429, "rate_limit_exceeded"), "quota_spent", live=True),
]
MALFORMED = ("x", (401, "invalid_api_key"), "token_malformed")
OFFICIAL = ("sk-" + "0123456789abcdef" * 2, (401, "invalid_api_key"), "official_key")


@dataclass(frozen=True)
class Said:
    """What the doctor printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings of `--json`."""
        value: list[dict[str, Any]] = json.loads(self.out)
        return value


def doctor(settings: Mapping[str, str], *arguments: str, stdin: str = "") -> Said:
    """Run the command as an operator does, with these settings and nothing else of the environment's."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor", *arguments]
    environment = environment_of(settings, workers=1, folder=Path("/nowhere"))
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def hosts(url: str, database: Path | str) -> dict[str, str]:
    """Settings with all of Kimi's hosts at one address, and the state in one file."""
    names = ("KIMI_WEB_URL", "KIMI_AUTH_URL", "KIMI_LEGACY_URL")
    return {**dict.fromkeys(names, url), "DATABASE_PATH": str(database)}


def token_of(guest: Guest, kind: str) -> str:
    """The token of one kind."""
    return str(getattr(guest, f"{kind}_token"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file that the gateway and the doctor share."""
    return tmp_path_factory.mktemp("doctor") / "state.sqlite3"


@pytest.fixture(scope="module")
def gateway(kimi: EmulatorControl, database: Path) -> Iterator[Gateway]:
    """Two workers, beside which the doctor is called."""
    with running(kimi.base_url, workers=2, DATABASE_PATH=str(database), QUEUE_SECONDS=str(QUEUE)) as running_gateway:
        yield running_gateway


@pytest.fixture(scope="module")
def patients(kimi: EmulatorControl, issued: list[AccountTokens]) -> dict[str, Guest]:
    """Make an account of every kind, which nobody but the doctor sees."""
    found: dict[str, Guest] = {}
    for case in CASES:
        issued.append(kimi.account(f"patient-{case.name}", **case.settings))
        found[case.name] = Guest(kimi, issued[-1])
    return found


@pytest.fixture(scope="module")
def tokens(patients: dict[str, Guest]) -> str:
    """Give all of their tokens, and two that are of nobody."""
    return ",".join([*(token_of(patients[case.name], case.kind) for case in CASES), MALFORMED[0], OFFICIAL[0]])


@pytest.fixture(scope="module")
def data(kimi: EmulatorControl, database: Path, tokens: str) -> Said:
    """Call the doctor once for all of them, for a program."""
    return doctor(hosts(kimi.base_url, database), "--json", tokens)


@pytest.fixture(scope="module")
def table(kimi: EmulatorControl, database: Path, tokens: str, data: Said) -> Said:
    """Call the doctor for them again, for a person."""
    assert data.out
    return doctor(hosts(kimi.base_url, database), tokens)


def named(case: Case) -> str:
    """The name of a case."""
    return case.name


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_answer_tells_them_apart(gateway: Gateway, new_guest: NewGuest, case: Case) -> None:
    """The error's code says what the account suffers from."""
    reply = gateway.chat(token_of(new_guest(**case.settings), case.kind))
    code = reply.error["code"] if reply.status != 200 else ""
    assert (reply.status, code) == case.told


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_check_tells_them_apart(gateway: Gateway, new_guest: NewGuest, case: Case) -> None:
    """POST /token/check gives a reason for programs and a remedy for people, and opens no conversation."""
    guest = new_guest(**case.settings)
    found = gateway.check(token_of(guest, case.kind))
    assert (found["live"], found["reason"], found["kind"]) == (case.live, case.reason, case.kind)
    assert found["remedy"]
    assert guest.chats() == []


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_the_doctor_tells_them_apart(data: Said, number: int) -> None:
    """The doctor's findings are those of the check."""
    found, case = data.findings[number], CASES[number]
    assert (found["live"], found["reason"], found["kind"]) == (case.live, case.reason, case.kind)
    assert found["remedy"]


@pytest.mark.parametrize("place", [-2, -1], ids=["malformed", "official"])
def test_what_is_no_account_of_the_chat(gateway: Gateway, data: Said, place: int) -> None:
    """A malformed token and an official key are known without a call to Kimi, everywhere alike."""
    token, told, reason = (MALFORMED, OFFICIAL)[place]
    reply = gateway.chat(token)
    assert (reply.status, reply.error["code"]) == told
    found = gateway.check(token)
    assert (found["live"], found["reason"]) == (False, reason)
    assert (data.findings[place]["live"], data.findings[place]["reason"]) == (False, reason)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_when_a_quota_is_full_again(gateway: Gateway, new_guest: NewGuest, data: Said, kind: str) -> None:
    """Kimi's own reset time is told: in Retry-After, by the check and by the doctor."""
    guest = new_guest(**SPENT)
    reply = gateway.chat(token_of(guest, kind))
    assert HOUR - 60 < int(reply.headers["retry-after"]) <= HOUR + 1
    assert reply.headers["x-should-retry"] == "false"
    number = next(number for number, case in enumerate(CASES) if case.settings is SPENT and case.kind == kind)
    for found in (gateway.check(token_of(guest, kind)), data.findings[number]):
        seconds = datetime.fromisoformat(found["resets_at"]).timestamp() - time.time()
        assert HOUR - 300 < seconds <= HOUR + 1


def test_the_check_of_a_list(gateway: Gateway, new_guest: NewGuest) -> None:
    """Of a list every token is examined, and the first one that is live speaks for it."""
    dead, live = new_guest(state="restricted"), new_guest()
    found = gateway.check(f"{dead.access_token},{live.access_token}")
    assert (found["live"], found["reason"]) == (True, "ok")
    assert [one["reason"] for one in found["accounts"]] == ["account_restricted", "ok"]


def test_an_overload_that_was_met(gateway: Gateway, new_guest: NewGuest) -> None:
    """What the last answer met counts: the account is live, and left alone for a while."""
    guest = new_guest()
    guest.plan({"faults": {"overload_trailer": True}})
    assert gateway.chat(guest.access_token).status == 429
    found = gateway.check(guest.access_token)
    assert (found["live"], found["reason"], found["cooldown"]["code"]) == (True, "kimi_busy", "upstream_busy")


def test_the_doctors_table(table: Said, data: Said) -> None:
    """A person reads a line for each account, and under it what to do."""
    lines = table.out.splitlines()
    assert lines[0].split() == ["account", "kind", "site", "live", "reason"]
    rows = [line.split() for line in lines[1:] if not line.startswith(" ")]
    assert rows == [
        [*(found.get(name, "-") for name in ("account", "kind", "site")), *_verdict(found)] for found in data.findings
    ]
    assert [found["remedy"] for found in data.findings if f"  {found['remedy']}" not in lines] == []


def _verdict(found: dict[str, Any]) -> tuple[str, str]:
    return "yes" if found["live"] else "no", found["reason"]


def test_the_exit_code(kimi: EmulatorControl, database: Path, new_guest: NewGuest, data: Said, table: Said) -> None:
    """It is 0 if all accounts are live, and 1 if one of them is not."""
    assert (data.code, table.code) == (1, 1)
    good, spent = new_guest(), new_guest(**SPENT)
    said = doctor(hosts(kimi.base_url, database), f"{good.refresh_token},{spent.refresh_token}")
    assert (said.code, said.err) == (0, "")


def test_the_doctor_takes_the_operators_tokens(kimi: EmulatorControl, database: Path, new_guest: NewGuest) -> None:
    """Without an argument KIMI_TOKENS are examined; a dash reads tokens from standard input, out of others' sight."""
    ann, bob = new_guest(), new_guest()
    settings = {**hosts(kimi.base_url, database), "KIMI_TOKENS": ann.refresh_token}
    (own,) = doctor(settings, "--json").findings
    (typed,) = doctor(settings, "--json", "-", stdin=f"{bob.refresh_token}\n").findings
    assert (own["reason"], typed["reason"]) == ("ok", "ok")
    assert own["account"] != typed["account"]
    assert len(ann.calls("/RefreshToken")) == len(bob.calls("/RefreshToken")) == 1


def test_the_doctor_without_a_patient(kimi: EmulatorControl, database: Path) -> None:
    """Where there is no token at all the command says what it wants."""
    said = doctor(hosts(kimi.base_url, database))
    assert (said.code, said.out) == (2, "")
    assert "KIMI_TOKENS" in said.err
    assert "Traceback" not in said.err


def test_no_token_is_printed(data: Said, table: Said, tokens: str, kimi: EmulatorControl) -> None:
    """Neither the tokens that were given nor those that they were exchanged for are in any output, not in part."""
    secrets = [*tokens.split(",")[:-2], OFFICIAL[0]]
    for account in kimi.accounts():
        secrets += [account.access_token, account.refresh_token, account.legacy_token]
    parts = {part for token in secrets for part in token.split(".")}
    printed = data.out + data.err + table.out + table.err
    assert [part for part in parts if part in printed] == []
    assert len(parts) > 3 * len(CASES)


def test_the_doctor_does_not_burn_a_token(
    kimi: EmulatorControl, gateway: Gateway, database: Path, new_guest: NewGuest
) -> None:
    """It shares the vault with the service: whoever comes second uses the first one's pair, and both may renew it."""
    ann, bob = new_guest(reuse_window=0), new_guest(reuse_window=0)
    settings = hosts(kimi.base_url, database)
    assert gateway.chat(ann.refresh_token).status == 200
    said = doctor(settings, "--json", f"{ann.refresh_token},{bob.refresh_token}")
    assert [found["reason"] for found in said.findings] == ["ok", "ok"]
    assert gateway.chat(bob.refresh_token).status == 200
    assert [len(guest.calls("/RefreshToken")) for guest in (ann, bob)] == [1, 1]

    for guest in (ann, bob):
        guest.change(expire_access=True)
    (found,) = doctor(settings, "--json", ann.refresh_token).findings
    assert found["reason"] == "ok"
    assert gateway.chat(bob.refresh_token).status == 200
    for guest in (ann, bob):
        assert gateway.chat(guest.refresh_token).status == 200
    assert [len(guest.calls("/RefreshToken")) for guest in (ann, bob)] == [2, 2]


def test_the_doctor_does_not_exchange_what_it_cannot_keep(kimi: EmulatorControl, new_guest: NewGuest) -> None:
    """Without a lasting state a check would use a refresh token up, so none is made; access tokens are checked."""
    guest, other = new_guest(), new_guest()
    said = doctor(hosts(kimi.base_url, ":memory:"), "--json", f"{guest.refresh_token},{other.access_token}")
    assert [found["reason"] for found in said.findings] == ["not_checked", "ok"]
    assert "/token/check" in said.findings[0]["remedy"]
    assert said.code == 1
    assert guest.calls() == []


@dataclass
class Stranger:
    """A host that is not Kimi, and answers everything alike; a gateway that takes it for Kimi."""

    url: str
    gateway: Gateway
    page: list[tuple[int, str, bytes]]


class _Page(BaseHTTPRequestHandler):
    """Answers with the page of the moment."""

    page: list[tuple[int, str, bytes]]

    def do_POST(self) -> None:
        ((status, media_type, body),) = self.page
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 # as the base class calls it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Run a host that is not Kimi, and a gateway before it."""
    page: list[tuple[int, str, bytes]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Page", (_Page,), {"page": page})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with running(url) as gateway:
                yield Stranger(url, gateway, page)
        finally:
            server.shutdown()
            thread.join()


HTML = ("text/html; charset=utf-8", b"<html><body>Just a moment...</body></html>")
JSON = ("application/json", b'{"hello":"world"}')
ELSEWHERE = {
    "a-page": (200, *HTML, (502, "upstream_protocol_error"), "network_blocked"),
    "a-page-403": (403, *HTML, (502, "upstream_protocol_error"), "network_blocked"),
    "another-service": (200, *JSON, (502, "upstream_protocol_error"), "protocol_changed"),
    "an-outage": (503, *JSON, (503, "upstream_unavailable"), "kimi_unavailable"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_who_answers_is_not_kimi(stranger: Stranger, new_guest: NewGuest, tmp_path: Path, name: str) -> None:
    """A wall in between, a changed protocol and an outage are not blamed on the token."""
    status, media_type, page, told, reason = ELSEWHERE[name]
    stranger.page[:] = [(status, media_type, page)]
    ann, bob = new_guest(), new_guest()
    reply = stranger.gateway.chat(ann.refresh_token)
    assert (reply.status, reply.error["code"]) == told
    found = stranger.gateway.check(bob.refresh_token)
    assert (found["live"], found["reason"]) == (False, reason)
    said = doctor(hosts(stranger.url, tmp_path / "state.sqlite3"), "--json", bob.refresh_token)
    assert [(one["live"], one["reason"]) for one in said.findings] == [(False, reason)]
    assert "log in" not in said.findings[0]["remedy"].lower()


@pytest.mark.parametrize("kind", ["access", "refresh", "legacy"])
def test_nobody_is_there(cut_off_gateway: Gateway, new_guest: NewGuest, kind: str) -> None:
    """A host that cannot be reached is the network's fault."""
    ann, bob = new_guest(), new_guest()
    reply = cut_off_gateway.chat(token_of(ann, kind))
    assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
    found = cut_off_gateway.check(token_of(bob, kind))
    assert (found["live"], found["reason"]) == (False, "network_blocked")


def test_the_doctor_finds_nobody_there(guest: Guest, tmp_path: Path) -> None:
    """An unknown host is told by the doctor, with the settings to look at."""
    url = "http://127.0.0.1:9"  # nobody listens at the port of the discard protocol
    (found,) = doctor(hosts(url, tmp_path / "state.sqlite3"), "--json", guest.refresh_token).findings
    assert (found["live"], found["reason"]) == (False, "network_blocked")
    assert "KIMI_AUTH_URL" in found["remedy"]
