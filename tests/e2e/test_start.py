"""How the service starts when it cannot."""

import subprocess
import sys

import pytest

from scripts.serving import ROOT

pytestmark = pytest.mark.e2e


def test_settings_that_cannot_be_used_are_told_in_one_line() -> None:
    """All of them, without their values, and without a traceback."""
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    environment = {"GRACE_SECONDS": "soon", "KIMI_TOKENS": 'secret"token'}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30)
    (line,) = done.stderr.splitlines()
    assert done.returncode != 0
    assert line.startswith("kimi-gateway cannot start: GRACE_SECONDS must be")
    assert "KIMI_TOKENS must be" in line
    assert "secret" not in line
