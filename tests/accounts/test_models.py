"""Which models Kimi offers to an account."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.accounts.models import FAILURE_LIFE, LIST_LIFE, OfferedModels
from app.errors import AccountRestricted, GatewayError, TokenExpired, UpstreamUnavailable
from config.models import ModelEntry
from tests.fakes import FakeClock

OFFERED = (ModelEntry(scenario="SCENARIO_K3"),)


class Site:
    """Gives a list of models, or fails; `asked` counts."""

    def __init__(self, offered: tuple[ModelEntry, ...] | GatewayError = OFFERED) -> None:
        self.offered = offered
        self.asked = 0

    def __call__(self) -> tuple[ModelEntry, ...]:
        self.asked += 1
        if isinstance(self.offered, GatewayError):
            raise self.offered
        return self.offered


def test_a_list_is_read_once_an_hour() -> None:
    """It seldom changes."""
    clock, site = FakeClock(), Site()
    models = OfferedModels(clock=clock)
    for seconds in (0, LIST_LIFE - 1, 2):
        clock.advance(seconds)
        assert models.get("a", site) == OFFERED
    assert site.asked == 2


def test_a_failure_is_an_empty_list_for_five_minutes() -> None:
    """The static table serves meanwhile; no answer waits for the site again."""
    clock, site = FakeClock(), Site(UpstreamUnavailable("no"))
    models = OfferedModels(clock=clock)
    assert [models.get("a", site), models.get("a", site)] == [(), ()]
    assert site.asked == 1
    clock.advance(FAILURE_LIFE + 1)
    site.offered = OFFERED
    assert models.get("a", site) == OFFERED


@pytest.mark.parametrize("error", [TokenExpired("no"), AccountRestricted("no")])
def test_what_concerns_the_account_is_raised(error: GatewayError) -> None:
    """And asked again: the person may have logged in meanwhile."""
    models, site = OfferedModels(clock=FakeClock()), Site(error)
    for _ in range(2):
        with pytest.raises(type(error)):
            models.get("a", site)
    site.offered = OFFERED
    assert models.get("a", site) == OFFERED
    assert site.asked == 3


def test_each_account_has_its_own_list() -> None:
    """Plans differ."""
    models, site = OfferedModels(clock=FakeClock()), Site()
    models.get("a", site)
    models.get("b", site)
    assert site.asked == 2


def test_a_list_is_read_once_for_all_who_wait() -> None:
    """Also while it is under way."""
    models, site, everyone = OfferedModels(clock=FakeClock()), Site(), threading.Barrier(20)

    def get(_: int) -> tuple[ModelEntry, ...]:
        everyone.wait(10)
        return models.get("a", site)

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(get, range(20))) == {OFFERED}
    assert site.asked == 1
