"""Where rotated refresh tokens are kept."""

from __future__ import annotations

from app.accounts.vault import MAX_ACCOUNTS, MemoryVault


def test_nothing_is_known_at_first() -> None:
    """The token that the client presents serves then."""
    assert MemoryVault().current(b"a") is None


def test_the_newest_token_is_kept_for_each_account() -> None:
    """One account's tokens are none of another's."""
    vault = MemoryVault()
    vault.store(b"a", "one")
    vault.store(b"b", "two")
    vault.store(b"a", "three")
    assert [vault.current(b"a"), vault.current(b"b")] == ["three", "two"]


def test_the_account_used_longest_ago_goes_first() -> None:
    """Memory has a ceiling."""
    vault = MemoryVault()
    vault.store(b"used", "used")
    vault.store(b"idle", "idle")
    for number in range(MAX_ACCOUNTS - 1):
        vault.current(b"used")
        vault.store(str(number).encode(), "x")
    assert [vault.current(b"used"), vault.current(b"idle")] == ["used", None]
