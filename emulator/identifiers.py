"""Names and times in the forms the two protocols use."""

import base64
import secrets
import time
import uuid
from datetime import UTC, datetime


def chat_uuid() -> str:
    """Make an id of the Connect protocol: UUID-shaped and ordered by time (B10)."""
    stamp = time.time_ns() // 1000
    low = secrets.randbits(62) | 1 << 63
    return str(uuid.UUID(int=(stamp >> 12) << 80 | 8 << 76 | (stamp & 0xFFF) << 64 | low))


def xid() -> str:
    """Make an id of the legacy protocol: 20 characters of base32hex, ordered by time (A3)."""
    raw = int(time.time()).to_bytes(4, "big") + secrets.token_bytes(8)
    return base64.b32hexencode(raw).decode().rstrip("=").lower()


def decimal_id() -> str:
    """Make a 19-digit decimal, the form of device_id and ssid (A1)."""
    return str(7_000_000_000_000_000_000 + secrets.randbelow(10**18))


def moment(at: float, digits: int) -> str:
    """Give a Unix time as RFC 3339 with so many digits of the second, at most 9 (captures/11 has 3 and 9)."""
    seconds, fraction = divmod(int(at * 1e9), 10**9)
    shown = f"{fraction:09d}"[:digits]
    return datetime.fromtimestamp(seconds, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{shown}Z")


def timestamp() -> str:
    """Give the present as RFC 3339 with microseconds, the form of createTime (captures/01)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
