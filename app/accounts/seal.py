"""Sealed values: what lies in a store is readable and changeable only for who has the key (AES-256-GCM)."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


class Seal:
    """Seals values for one `purpose` under a key derived from `secret`; `place` is where a value belongs.

    A value that was moved to another place does not open.
    """

    def __init__(self, secret: bytes, *, purpose: str, place: str) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"kimi-gateway {purpose} 1".encode()).derive(secret)
        self._cipher = AESGCM(key)
        self._place = place.encode()

    def close(self, value: bytes) -> bytes:
        """Seal a value."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, self._place)

    def open(self, box: bytes) -> bytes | None:
        """The value in a box; None for one that was tampered with, or sealed otherwise."""
        try:
            return self._cipher.decrypt(box[:_NONCE], box[_NONCE:], self._place)
        except (InvalidTag, ValueError):
            return None
