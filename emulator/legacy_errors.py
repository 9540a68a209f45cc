"""Errors of the legacy site (A6, captures/09)."""

from emulator.answers import LegacyError
from emulator.exchange import Reply, json_reply

TOKEN_INVALID = LegacyError("auth.token.invalid", "您的授权已过期，请重新登录", "该用户的授权已过期，请重新登录")
NOT_FOUND = LegacyError("chat.not_found", "找不到指定的会话")
FORBIDDEN = LegacyError("chat.forbidden", "此会话已被禁用")
PUSHING = LegacyError("chat.user_stream_pushing", "another answer is still being written")
PLANNED = LegacyError("internal.error", "planned")
TOO_LONG = LegacyError("openai.completion.token_length_too_long", "the conversation is too long, start a new one")
UNKNOWN_PATH = LegacyError("internal.error", "there is no such path")


class LegacyRefusal(Exception):
    """A request that the legacy site refuses, with an HTTP status."""

    def __init__(self, status: int, error: LegacyError) -> None:
        super().__init__(error.error_type)
        self.status = status
        self.error = error

    def reply(self) -> Reply:
        """Answer as JSON with error_type and message."""
        return json_reply(self.status, self.error.as_json())
