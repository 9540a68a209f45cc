"""`flask --app wsgi doctor`: a table for people, JSON for programs, and an exit code for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import create_app
from app.accounts.cooldown import Cooldown
from app.doctor import command, table
from app.errors import AccountRestricted, GatewayError, TokenExpired
from app.gateway.diagnosis import REMEDIES, Finding, Reason
from app.kimi.quota import Quota
from app.observability import log
from config.settings import Settings
from tests.fakes import FakeKimi, jwt
from tests.gateway.houses import ANN, BOB, House, refreshable

REFRESH = refreshable().token
SECRETS = (ANN.token, BOB.token, REFRESH)


def doctor(
    *arguments: str,
    house: House | None = None,
    tokens: Sequence[str] = (),
    lasting: bool = True,
    given: str | None = None,
) -> Result:
    """Run the command; `given` is what comes by standard input."""
    program = command((house or House(FakeKimi())).diagnosis, tokens, lasting=lasting)
    result = CliRunner().invoke(program, arguments, input=given)
    assert not any(secret in result.output for secret in SECRETS)
    return result


def reasons(result: Result) -> list[str]:
    """What the JSON output says of each token."""
    return [finding["reason"] for finding in json.loads(result.output)]


def refusing(error: GatewayError) -> House:
    """A Kimi that takes nobody."""
    return House(FakeKimi(greeting=error), refusal=error)


def test_a_good_token_is_a_success() -> None:
    """Exit code 0."""
    result = doctor(ANN.token)
    assert result.exit_code == 0
    assert result.output.splitlines()[1].split() == [ANN.account[:12], "access", "connect.kimi.com", "yes", "ok"]


@pytest.mark.parametrize("error", [TokenExpired("no"), AccountRestricted("no")])
def test_a_bad_token_is_a_failure(error: GatewayError) -> None:
    """Exit code 1, and what to do."""
    result = doctor(ANN.token, house=refusing(error))
    assert result.exit_code == 1
    assert REMEDIES[Reason(error.code)] in result.output


def test_one_bad_token_of_several_is_a_failure() -> None:
    """A script that asks wants all of them good."""
    assert doctor(f"{ANN.token},short").exit_code == 1
    assert doctor(f"{ANN.token},{BOB.token}").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "given"),
    [([], None), (["-"], ""), (["-"], " \n"), ([","], None), (["--nonsense"], None)],
)
def test_a_call_that_asks_nothing_is_a_mistake(arguments: list[str], given: str | None) -> None:
    """Exit code 2."""
    assert doctor(*arguments, given=given).exit_code == 2


def test_a_space_is_as_good_as_a_comma() -> None:
    """Nor does a token get into a log by a message about too many of them."""
    assert reasons(doctor(ANN.token, f"{BOB.token},short", "--json")) == ["ok", "ok", "token_malformed"]


def test_more_tokens_than_may_be_given_are_a_mistake() -> None:
    """With the limit named."""
    result = doctor(",".join(jwt(sub=str(number)) for number in range(33)))
    assert result.exit_code == 2
    assert "32" in result.output


def test_a_token_may_come_by_standard_input() -> None:
    """So that it is in no list of processes and no history of a shell."""
    result = doctor("-", "--json", given=f"{ANN.token},short\n")
    assert reasons(result) == ["ok", "token_malformed"]


def test_without_a_token_those_of_the_settings_are_checked() -> None:
    """KIMI_TOKENS, each by itself."""
    result = doctor("--json", tokens=(ANN.token, REFRESH, "short"))
    assert [result.exit_code, reasons(result)] == [1, ["ok", "ok", "token_malformed"]]


def test_a_token_that_is_given_comes_before_those_of_the_settings() -> None:
    """Only it is checked."""
    assert len(reasons(doctor("--json", ANN.token, tokens=(BOB.token, REFRESH)))) == 1


def test_nothing_by_standard_input_is_not_the_settings_tokens() -> None:
    """A pipe that broke must not look like a success."""
    assert doctor("-", given="", tokens=(ANN.token,)).exit_code == 2


def test_without_lasting_state_no_token_is_exchanged() -> None:
    """The running service would be left with a spent one; access tokens are checked all the same."""
    house = House(FakeKimi())
    result = doctor("--json", f"{REFRESH},{ANN.token}", house=house, lasting=False)
    assert [result.exit_code, reasons(result), house.refreshed] == [1, ["not_checked", "ok"], []]


def test_with_lasting_state_a_token_is_exchanged() -> None:
    """The service finds the new one in the vault."""
    house = House(FakeKimi())
    assert reasons(doctor("--json", REFRESH, house=house)) == ["ok"]
    assert house.refreshed == [REFRESH]


# --- The table ---------------------------------------------------------------------------------------------


def test_the_table_says_all_that_is_known() -> None:
    """A line for each token, and under it the details and the remedy."""
    findings = [
        Finding(
            Reason.SPENT,
            "The quota is spent.",
            kind="refresh",
            account="0123456789ab",
            site="www.kimi.com",
            expires_at=1_800_003_600.0,
            cooldown=Cooldown(1_800_000_060.0, 60.0, "rate_limit_exceeded", "no"),
            resets_at=1_800_000_060.0,
            quotas=(Quota("plan", 1.0, 1_800_000_060.0, chat=True), Quota("code, 5 hours", 0.256)),
        ),
        Finding(Reason.EXPIRED, kind="access", account="ba9876543210", site="www.kimi.ai", expires_at=1_800_000_000.0),
        Finding(Reason.MALFORMED, "The credential is malformed."),
    ]
    assert table(findings).splitlines() == [
        "account       kind     site          live  reason",
        "0123456789ab  refresh  www.kimi.com  yes   quota_spent",
        "  The quota is spent.",
        "  token good until 2027-01-15T09:00:00Z",
        "  quota plan: 100% used",
        "  quota code, 5 hours: 26% used",
        "  quota full again at 2027-01-15T08:01:00Z",
        "  left alone by this gateway (rate_limit_exceeded)",
        f"  {REMEDIES[Reason.SPENT]}",
        "ba9876543210  access   www.kimi.ai   no    token_expired",
        "  token ended at 2027-01-15T08:00:00Z",
        f"  {REMEDIES[Reason.EXPIRED]}",
        "-             -        -             no    token_malformed",
        "  The credential is malformed.",
        f"  {REMEDIES[Reason.MALFORMED]}",
    ]


# --- In the application ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [":memory:", "state.sqlite3"])
def test_the_command_is_the_application_s(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tokens of the settings; whether it may exchange them depends on where state is kept."""
    monkeypatch.setattr(log, "configure", lambda *_: None)
    place = path if path == ":memory:" else str(tmp_path / path)
    expired = jwt(typ="refresh", exp=1.0)
    app = create_app(Settings(database_path=place, kimi_tokens=(expired,)))
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    assert result.exit_code == 1
    assert reasons(result) == ["not_checked" if path == ":memory:" else "token_expired"]
