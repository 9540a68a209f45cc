"""What a client presents: recognised by its look, never trusted, never shown."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
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

    `expires_at` is the time of day in seconds, `lifetime` the seconds from its issue to then, `subject` the user's id.
    """

    expires_at: float | None = None
    lifetime: float | None = None
    overseas: bool = False
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of Kimi's, and the names under which things are kept for it.

    The names are the same in every process, and none of them reveals the token or the user. What Kimi said of the
    token itself is kept under `name`: anybody can write a token with another's user id in it, and its refusal must not
    count against that user. What concerns the account (streams, cooldowns, conversations) is kept under `account`,
    which all tokens of one user share.
    """

    token: str = field(repr=False)
    kind: Kind
    claims: Claims = field(default_factory=Claims)

    @property
    def name(self) -> str:
        """The token's name."""
        return _digest("token", self.token).hex()

    @property
    def account(self) -> str:
        """The account's name."""
        return _digest("account", self._owner).hex()

    @property
    def secret(self) -> bytes:
        """A key that is in no store: it keeps digests of what was said from being guessed by who reads one."""
        return _digest("secret", self._owner)

    @property
    def _owner(self) -> str:
        return self.claims.subject or self.token


def parse_credentials(text: str) -> tuple[Credential, ...]:
    """The credentials of a comma-separated list, each once.

    Raises InvalidApiKey if one cannot be a credential, InvalidRequest if there are more than 32.
    """
    return tuple(_recognise(token) for token in split_list(text))


def split_list(text: str) -> tuple[str, ...]:
    """The members of a comma-separated list, each once and as they are. Raises as `parse_credentials`."""
    tokens = tuple(dict.fromkeys(part for item in text.split(",") if (part := item.strip(" "))))
    if len(tokens) > MAX_CREDENTIALS:
        raise InvalidRequest(f"At most {MAX_CREDENTIALS} credentials may be given; there are {len(tokens)}.")
    if not tokens:
        raise InvalidApiKey("The credential is empty.")
    return tokens


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
    subject = payload.get("sub")
    return Claims(
        expires_at=expires,
        lifetime=expires - issued if expires is not None and issued is not None else None,
        overseas="kimi.ai" in audiences or payload.get("region") == "overseas",
        subject=subject if isinstance(subject, str) and subject else None,
    )


def _digest(purpose: str, value: str) -> bytes:
    """An HMAC of all of a value; another one for each purpose."""
    return hmac.digest(f"kimi-gateway {purpose} 1".encode(), value.encode(errors="surrogatepass"), hashlib.sha256)


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
