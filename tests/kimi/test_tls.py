"""The transport over TLS, as Kimi is reached: with gevent's sockets and with the system's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.serving import ROOT

EXPECTED = """\
/whole hello
/whole hello
/cut hello ClientGone
/silent ClientGone
/stalls hello UpstreamTimeout
/whole hello
/broken UpstreamUnavailable
/file 200 20971520
/file 200 20971520
/refused 413 no
/unread ClientGone
/file 200 20971520
connections 7
untrusted UpstreamUnreachable
"""


@pytest.mark.parametrize("mode", ["gevent", "threads"])
def test_answers_over_tls_are_read_cut_and_timed_out(mode: str) -> None:
    """A connection is used again after a whole answer, and a hang-up wakes a silent one at once.

    Only a certificate that is refused is sure to come before the request: what breaks later may have been heard.
    """
    program = [sys.executable, "-W", "error", "-m", "tests.kimi.tls_program", mode]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (EXPECTED, "")
