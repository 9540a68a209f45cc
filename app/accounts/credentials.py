"""What a client presents: recognised by its look, never trusted, never shown."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from enum import Enum

from app.errors import InvalidApiKey, InvalidRequest

MAX_CREDENTIALS = 32
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{20,4096}")
_OFFICIAL = "sk-"


class Kind(Enum):
    """What a credential is, and so which upstream serves it (contract, section 2)."""

    ACCESS = "access"
    REFRESH = "refresh"
    OFFICIAL = "official"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a JWT says of itself (protocol.md B3). Unverified: good for routing, not for trust.

    `expires_at` is the time of day in seconds, `lifetime` the seconds from its issue to then.
    """

    expires_at: float | None = None
    lifetime: float | None = None
    overseas: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of Kimi's."""

    token: str = field(repr=False)
    kind: Kind
    claims: Claims = field(default_factory=Claims)


def parse_credentials(text: str) -> tuple[Credential, ...]:
    """The credentials of a comma-separated list, each once.

    Raises InvalidApiKey if one cannot be a credential, InvalidRequest if there are more than 32.
    """
    tokens = list(dict.fromkeys(part for item in text.split(",") if (part := item.strip(" "))))
    if len(tokens) > MAX_CREDENTIALS:
        raise InvalidRequest(f"At most {MAX_CREDENTIALS} credentials may be given; there are {len(tokens)}.")
    if not tokens:
        raise InvalidApiKey("The credential is empty.")
    return tuple(_recognise(token) for token in tokens)


def claims_of(token: str) -> dict[str, object]:
    """The payload of a JWT; empty if the token is not one."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 # header, payload, signature
        return {}
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def routing_claims(payload: dict[str, object]) -> Claims:
    """What of a JWT's payload decides where it goes and how long it is good."""
    expires, issued = _seconds(payload.get("exp")), _seconds(payload.get("iat"))
    audience = payload.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return Claims(
        expires_at=expires,
        lifetime=expires - issued if expires is not None and issued is not None else None,
        overseas="kimi.ai" in audiences or payload.get("region") == "overseas",
    )


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:  # an integer beyond a double: anybody can write a token
        return None
    return seconds if math.isfinite(seconds) else None


def _recognise(token: str) -> Credential:
    if not _VISIBLE_ASCII.fullmatch(token):
        raise InvalidApiKey(
            "The credential is malformed: a Kimi token has 20 to 4096 visible ASCII characters and no spaces."
        )
    if token.startswith(_OFFICIAL):
        return Credential(token, Kind.OFFICIAL)
    payload = claims_of(token)
    kind = {"access": Kind.ACCESS, "refresh": Kind.REFRESH}.get(str(payload.get("typ")))
    if payload.get("app_id") == "kimi" and kind is not None:
        return Credential(token, kind, routing_claims(payload))
    return Credential(token, Kind.LEGACY)
