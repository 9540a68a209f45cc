"""One refresh in flight per account over all workers of a machine (issue 3, the vault).

By hand, for the long run: `STORM_ROUNDS=1000 pytest -s tests/e2e/test_refresh_storm.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.client import EmulatorControl
from tests.e2e.conftest import NewGuest, running
from tests.e2e.storm import REQUESTS, ROUNDS, SETTINGS, Ending, Storm
from tests.e2e.support import Gateway

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def gateway(kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers that share a file."""
    path = Path(tmp_path_factory.mktemp("storm"), "state.sqlite3")
    with running(kimi.base_url, workers=2, DATABASE_PATH=str(path), **SETTINGS) as started:
        yield started


@pytest.mark.parametrize("ending", ["refused", "expired"])
def test_of_many_requests_one_refreshes(
    kimi: EmulatorControl, gateway: Gateway, new_guest: NewGuest, ending: Ending
) -> None:
    """50 at once on two workers, all answered: one refresh reaches Kimi each time, and no family is revoked."""
    figures = Storm(kimi, gateway, new_guest, ending).run()
    print(f"\nstorm on two workers, {ending}: {figures}")  # noqa: T201 # the figures of a long run
    assert figures.failures == []
    assert (figures.answers, figures.refreshes, figures.revoked) == (ROUNDS * REQUESTS, ROUNDS, 0)
