"""How far Kimi is with reading a file."""

from __future__ import annotations

import pytest

from app.kimi.reading import Reading


@pytest.mark.parametrize(
    ("reading", "document", "image"),
    [
        (Reading(done=True), True, True),
        (Reading(done=True, is_there=True), True, True),
        (Reading(done=False, is_there=True), False, True),
        (Reading(done=False), False, False),
    ],
)
def test_an_image_suffices_as_soon_as_it_is_there(reading: Reading, *, document: bool, image: bool) -> None:
    """A document has to be read."""
    assert reading.suffices(is_image=False) is document
    assert reading.suffices(is_image=True) is image
