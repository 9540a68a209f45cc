"""Real JSON Web Tokens: three base64url parts, signed with HMAC-SHA256 (B3)."""

import base64
import hashlib
import hmac

from emulator.values import Json, encode


def signed_jwt(secret: bytes, claims: Json) -> str:
    """Sign claims; the result looks like any JWT, and only this process could have made it."""
    head = _part(encode({"alg": "HS256", "typ": "JWT"}))
    signed = f"{head}.{_part(encode(claims))}"
    return f"{signed}.{_part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
