"""The calls of the legacy site, as a table from method and path (A2, A3)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from emulator import legacy_files
from emulator.accounts import Account, InvalidTokenError, RestrictedError
from emulator.chats import Chat
from emulator.exchange import Reply, Request, json_reply
from emulator.legacy_errors import (
    FORBIDDEN,
    NOT_FOUND,
    PLANNED,
    TOKEN_INVALID,
    UNKNOWN_PATH,
    LegacyRefusal,
)
from emulator.legacy_stream import completion
from emulator.site import Site
from emulator.values import Json, Malformed, decode_object, integer, text

DELETE = "legacy-delete"
"""The name under which a test orders that deleting a chat fails."""

_RESEARCH_TOTAL = 5


@dataclass(frozen=True)
class Visit:
    """A request of an account that has been let in. `chat_id` is from the path, or empty."""

    request: Request
    account: Account
    site: Site
    chat_id: str

    def body(self) -> Json:
        """Read the body as a JSON object."""
        return decode_object(self.request.body)

    def chat(self) -> Chat:
        """Find the chat that the path names; raises `LegacyRefusal`."""
        found = self.site.chats.find(self.chat_id, self.account.name, "legacy")
        if found is None:
            raise LegacyRefusal(404, NOT_FOUND)
        return found


def answer(request: Request, site: Site) -> Reply:
    """Answer one request for a legacy path, or for one that nobody knows."""
    try:
        for (method, path), call in _CALLS.items():
            found = re.fullmatch(path, request.path)
            if method == request.method and found:
                kinds = ("refresh", "legacy") if call is _refresh else ("access",)
                account = site.accounts.admit(request.bearer, *kinds).account
                return call(Visit(request, account, site, found.groupdict().get("chat_id", "")))
        raise LegacyRefusal(404, UNKNOWN_PATH)  # noqa: TRY301 -- one exit for all refusals
    except InvalidTokenError:
        return LegacyRefusal(401, TOKEN_INVALID).reply()
    except RestrictedError:
        return LegacyRefusal(403, FORBIDDEN).reply()
    except Malformed as error:
        return json_reply(400, {"error_type": "internal.error", "message": str(error)})
    except LegacyRefusal as refusal:
        return refusal.reply()


def _refresh(visit: Visit) -> Reply:
    """Issue a new pair; nothing says that the old refresh token dies of it (A2), so it lives."""
    access = visit.site.accounts.issue(visit.account, "access")
    renewed = visit.site.accounts.issue(visit.account, "refresh")
    return json_reply(200, {"access_token": access.value, "refresh_token": renewed.value})


def _user(visit: Visit) -> Reply:
    return json_reply(200, {"id": visit.account.user_id, "name": visit.account.name})


def _open_chat(visit: Visit) -> Reply:
    name = text(visit.body(), "name")
    return json_reply(200, visit.site.chats.open_legacy(visit.account.name, name).as_legacy())


def _list_chats(visit: Visit) -> Reply:
    wanted = visit.body()
    start = integer(wanted, "offset")
    chats = visit.site.chats.of(visit.account.name, "legacy")
    page = chats[start : start + integer(wanted, "size", 50)]
    return json_reply(200, {"items": [chat.as_legacy() for chat in page]})


def _delete_chat(visit: Visit) -> Reply:
    status = visit.site.outages.strike(DELETE)
    if status is not None:
        raise LegacyRefusal(status, PLANNED)
    visit.chat().deleted = True
    return json_reply(200, {})


def _research_usage(visit: Visit) -> Reply:
    remain = visit.account.research_remaining
    total = max(_RESEARCH_TOTAL, remain)
    return json_reply(200, {"remain": remain, "total": total, "used": total - remain})


def _complete(visit: Visit) -> Reply:
    return completion(visit.request, visit.body(), visit.account, visit.chat(), visit.site)


def _pre_sign(visit: Visit) -> Reply:
    return legacy_files.pre_sign(visit.request, visit.body(), visit.account, visit.site)


def _register_file(visit: Visit) -> Reply:
    return legacy_files.register(visit.request, visit.body(), visit.account, visit.site)


def _parse_process(visit: Visit) -> Reply:
    return legacy_files.parse_process(visit.body(), visit.account, visit.site)


_CALLS: dict[tuple[str, str], Callable[[Visit], Reply]] = {
    ("GET", "/api/auth/token/refresh"): _refresh,
    ("GET", "/api/user"): _user,
    ("POST", "/api/chat"): _open_chat,
    ("POST", "/api/chat/list"): _list_chats,
    ("GET", "/api/chat/research/usage"): _research_usage,
    ("DELETE", "/api/chat/(?P<chat_id>[^/]+)"): _delete_chat,
    ("POST", "/api/chat/(?P<chat_id>[^/]+)/completion/stream"): _complete,
    ("POST", "/api/pre-sign-url"): _pre_sign,
    ("POST", "/api/file"): _register_file,
    ("POST", "/api/file/parse_process"): _parse_process,
}
