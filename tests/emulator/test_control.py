"""The control plane itself, and the program around it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from emulator.client import ControlError, EmulatorControl, start
from tests.emulator.raw import CHAT, Raw, question

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def test_the_log_shows_what_was_asked_and_how_it_ended(control: EmulatorControl, raw: Raw) -> None:
    """Everything but the token itself."""
    control.plan({"text": "abc"})
    answered = raw.ask("Hello", tools=[])
    (entry,) = control.log()
    assert (entry["method"], entry["path"], entry["account"]) == ("POST", CHAT, "ann")
    assert (entry["status"], entry["finished"], entry["client_closed"]) == (200, True, False)
    assert entry["request"] == question("Hello")
    assert entry["frames_sent"] == len(answered.frames)
    assert entry["authorization"] == "bearer access"
    assert entry["headers"]["content-type"] == "application/connect+json"
    assert raw.token not in json.dumps(entry)
    assert abs(entry["at"] - time.time()) < 5
    assert 0 <= entry["seconds"] < 5


@pytest.mark.parametrize("kind", ["access", "refresh", "legacy"])
def test_the_log_names_the_kind_of_bearer(control: EmulatorControl, kind: str) -> None:
    """Also when it was refused."""
    token = getattr(control.account("ann"), f"{kind}_token")
    Raw(control, token).legacy("GET", "/api/user")
    assert control.log()[0]["authorization"] == f"bearer {kind}"


def test_the_log_knows_unknown_and_missing_bearers(control: EmulatorControl) -> None:
    """Neither belongs to an account. A cookie with the token is left out as well."""
    Raw(control, "forged").send("GET", "/api/user", None, {"cookie": "kimi-auth=forged"})
    Raw(control, "").legacy("GET", "/api/user")
    first, second = control.log()
    assert (first["authorization"], first["account"]) == ("bearer unknown", None)
    assert "forged" not in json.dumps(first)
    assert second["authorization"] == "none"
    assert first["seq"] + 1 == second["seq"]


def test_a_body_that_cannot_be_decoded_is_logged_as_text(control: EmulatorControl, raw: Raw) -> None:
    """So a test can still see it."""
    raw.send("POST", CHAT, b"\xff not json", {})
    assert control.log()[0]["request"] == "\ufffd not json"


def test_chats_made_by_hand_can_be_told_apart(control: EmulatorControl, raw: Raw) -> None:
    """They belong to the account, and nobody has deleted them."""
    chat = control.open_chat("ann")
    assert [item["role"] for item in chat["messages"]] == ["system", "user", "assistant"]
    assert control.chats() == [chat]
    assert (chat["account"], chat["deleted"], chat["cancelled"]) == ("ann", False, False)


def test_a_reset_forgets_everything(control: EmulatorControl, raw: Raw) -> None:
    """Accounts, plans, chats, the log and the misbehaviour."""
    control.plan({"text": "planned"})
    control.models(status=500)
    control.open_chat("ann")
    raw.ask(chat_id="x")
    control.reset()
    assert (control.accounts(), control.chats(), control.log()) == ([], [], [])
    assert raw.ask().status == 401


def test_mistakes_are_told(control: EmulatorControl) -> None:
    """Unknown accounts, fields and actions."""
    with pytest.raises(ControlError, match="no account"):
        control.patch_account("nobody")
    with pytest.raises(ControlError, match="colour"):
        control.account("ann", colour="red")
    with pytest.raises(ControlError, match="state"):
        control.account("ann", state="happy")
    with pytest.raises(ControlError, match="no account"):
        control.plan({"text": "a"}, account="nobody")
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{control.base_url}/emulator/nothing")  # noqa: S310 -- loopback
    caught.value.close()


def test_an_account_without_a_name_gets_one(control: EmulatorControl) -> None:
    """And the list shows it with its newest tokens."""
    account = control.account(access_seconds=5)
    assert account.name == "account-1"
    assert control.accounts() == [account]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_both_ways_of_leaving_are_noticed(control: EmulatorControl, raw: Raw, how: str) -> None:
    """A close and a reset, while the emulator is silent."""
    control.plan({"faults": {"stall_after": 2}})
    with raw.streaming() as response:
        response.read1(1)
        if how == "rst":
            sock = response.fp.raw._sock  # type: ignore[attr-defined]
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    control.wait_for_log(lambda entries: entries[0]["client_closed"], timeout=0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_one_line_and_ends_on_a_signal(number: signal.Signals) -> None:
    """Also while a stream is stalled."""
    command = [sys.executable, "-m", "emulator", "--account", "zoe"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        assert greeting.startswith("emulator listening on http://127.0.0.1:")
        control = EmulatorControl(greeting.split()[-1])
        raw = Raw(control, control.accounts()[0].access_token)
        control.plan({"faults": {"stall_after": 2}}, account="zoe")
        with raw.streaming() as response:
            response.read1(1)
            os.kill(process.pid, number)
            assert process.wait(3) == 0
        assert process.stdout.read() == ""


def test_start_takes_a_port(control: EmulatorControl) -> None:
    """A port that is taken is a clear failure, not a hang."""
    taken = int(control.base_url.rpartition(":")[2])
    with pytest.raises(ControlError, match="did not start"), start(port=taken):
        pass
