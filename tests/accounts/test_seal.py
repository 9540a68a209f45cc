"""Sealed values: they open for who has the key, where they belong and as they were, and tell nothing before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.seal import Seal


def seal(secret: bytes = b"secret", *, purpose: str = "vault", place: str = "ann") -> Seal:
    """A seal; what is not said is the same each time."""
    return Seal(secret, purpose=purpose, place=place)


@given(st.binary(max_size=99), st.binary(max_size=99), st.text(max_size=9), st.text(max_size=9))
def test_what_was_sealed_opens_again(value: bytes, secret: bytes, purpose: str, place: str) -> None:
    """In any process that has the key."""
    box = Seal(secret, purpose=purpose, place=place).close(value)
    assert Seal(secret, purpose=purpose, place=place).open(box) == value


@pytest.mark.parametrize(
    "other",
    [seal(b"another"), seal(b""), seal(purpose="file name"), seal(place="bob"), seal(place="")],
    ids=["secret", "no secret", "purpose", "place", "no place"],
)
def test_what_was_sealed_otherwise_does_not_open(other: Seal) -> None:
    """Another key, another use of it, or another place in the store."""
    assert other.open(seal().close(b"value")) is None
    assert seal().open(other.close(b"value")) is None


@given(st.data())
def test_what_was_tampered_with_does_not_open(data: st.DataObject) -> None:
    """By one bit."""
    box = bytearray(seal().close(b"value"))
    place = data.draw(st.integers(0, len(box) - 1))
    box[place] ^= 1 << data.draw(st.integers(0, 7))
    assert seal().open(bytes(box)) is None


@pytest.mark.parametrize("cut", [slice(0), slice(5), slice(12), slice(-1), slice(1, None)])
def test_what_was_cut_does_not_open(cut: slice) -> None:
    """Also where nothing is left, as after a half-written file."""
    assert seal().open(seal().close(b"value")[cut]) is None


@given(st.binary(max_size=99))
def test_what_was_never_sealed_does_not_open(box: bytes) -> None:
    """Whatever lies in the store."""
    assert seal().open(box) is None


def test_equal_values_are_sealed_differently() -> None:
    """Who reads the store cannot tell that two are the same, nor read one."""
    boxes = {seal().close(b"value" * 9) for _ in range(50)}
    assert len(boxes) == 50
    assert not [box for box in boxes if b"value" in box]
