"""Which hosts serve a token."""

from __future__ import annotations

from typing import Final

import pytest

from app.kimi.sites import Sites
from config.settings import Settings

SITES: Final = Sites.of(Settings())


@pytest.mark.parametrize(("overseas", "expected"), [(False, "https://www.kimi.com"), (True, "https://www.kimi.ai")])
def test_web_site_by_region(overseas: bool, expected: str) -> None:  # noqa: FBT001
    """A token's region chooses the site."""
    assert expected == SITES.web_for(overseas=overseas)


def test_auth_hosts_by_region() -> None:
    """A token's own auth host is asked first, then the other."""
    assert SITES.auth_for(overseas=False) == ("https://auth.kimi.com", "https://auth.kimi.ai")
    assert SITES.auth_for(overseas=True) == ("https://auth.kimi.ai", "https://auth.kimi.com")


@pytest.mark.parametrize("overseas", [False, True])
def test_hosts_of_the_settings(overseas: bool) -> None:  # noqa: FBT001
    """Hosts that the settings name serve every token, and no other is asked."""
    sites = Sites.of(
        Settings(
            kimi_web_url="https://w.example", kimi_auth_url="https://a.example", kimi_legacy_url="https://l.example"
        )
    )
    assert sites.web_for(overseas=overseas) == "https://w.example"
    assert sites.auth_for(overseas=overseas) == ("https://a.example",)
    assert sites.legacy == "https://l.example"


def test_legacy_site() -> None:
    """The legacy site has its old address by default."""
    assert SITES.legacy == "https://kimi.moonshot.cn"
