"""What the tests of the attachments room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.attachments.sites import comes_true, open_files


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Hold that a test leaves no socket and no file open, whatever came of it."""
    before = open_files()
    yield
    assert comes_true(lambda: open_files() <= before)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority that nobody trusts unless told."""
    return trustme.CA()


@pytest.fixture(scope="session")
def authorities(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file by which it is trusted."""
    path: Path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
