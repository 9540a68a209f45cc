"""What Claude Code calls its conversation, where it sends no header that tells."""

from __future__ import annotations

import json
import re

from app.dialects.fields import sane_session

_OLD = re.compile(r"_session_([\w-]+)\Z", re.ASCII)


def session_of(metadata: object) -> str | None:
    """The name of a session in `metadata.user_id`, None if there is none.

    Since 2.1.78 Claude Code writes a JSON object there, as a text, with a `session_id`; before it was
    `user_..._account_..._session_...` (github.com/ding113/claude-code-hub, pull request 939). What names only the
    user names no conversation.
    """
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user_id, str):
        return None
    if user_id.startswith("{"):
        return sane_session(_session_id(user_id))
    old = _OLD.search(user_id)
    return sane_session(old[1]) if old else None


def _session_id(text: str) -> object:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value.get("session_id") if isinstance(value, dict) else None
