"""`flask --app wsgi doctor`: what is wrong with the tokens, as a table for people or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from app.accounts.credentials import split_list
from app.errors import GatewayError
from app.gateway.diagnosis import Diagnosis, Finding, Reason, as_json

_TITLES = ("account", "kind", "site", "live", "reason")


def command(diagnosis: Diagnosis, tokens: Sequence[str], *, lasting: bool) -> click.Command:
    """The command. `tokens` are those of the settings; with `lasting` unset none may be exchanged."""

    @click.command("doctor")
    @click.argument("given", metavar="[TOKEN]", nargs=-1)
    @click.option("--json", "as_data", is_flag=True, help="Print JSON instead of a table.")
    def doctor(given: tuple[str, ...], *, as_data: bool) -> None:
        """Check TOKEN (a Kimi token or a list of them; - reads it from standard input), or else KIMI_TOKENS."""
        from_input = given == ("-",)
        text = sys.stdin.read().strip() if from_input else ",".join(given)
        try:
            wanted = split_list(text) if text else () if from_input else tuple(tokens)
        except GatewayError as error:
            raise click.UsageError(error.message) from None
        if not wanted:
            raise click.UsageError("There is no token: give one, or set KIMI_TOKENS.")
        findings = [diagnosis.examine(one, refreshes=lasting) for one in wanted]
        click.echo(json.dumps([as_json(finding) for finding in findings], indent=2) if as_data else table(findings))
        sys.exit(0 if all(finding.live for finding in findings) else 1)

    return doctor


def table(findings: Sequence[Finding]) -> str:
    """The findings as aligned text: a line for each, and under it what was met, what is left, and what to do."""
    rows = [_TITLES, *(_row(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    out = [lines[0]]
    for finding, line in zip(findings, lines[1:], strict=True):
        out += [line, *(f"  {note}" for note in _notes(finding))]
    return "\n".join(out)


def _row(finding: Finding) -> tuple[str, ...]:
    live = "yes" if finding.live else "no"
    return (finding.account or "-", finding.kind or "-", finding.site or "-", live, finding.reason.value)


def _notes(finding: Finding) -> list[str]:
    facts = as_json(finding)
    notes = [finding.detail] if finding.detail else []
    if "expires_at" in facts:
        notes.append(f"token {'ended at' if finding.reason is Reason.EXPIRED else 'good until'} {facts['expires_at']}")
    notes += [f"quota {quota.name}: {quota.used:.0%} used" for quota in finding.quotas]
    if "resets_at" in facts:
        notes.append(f"quota full again at {facts['resets_at']}")
    if finding.cooldown is not None:
        notes.append(f"left alone by this gateway ({finding.cooldown.code})")
    return [*notes, finding.remedy]
