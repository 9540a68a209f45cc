"""The unary calls of the Connect site (B11), as a table from path to function."""

from collections.abc import Callable

from emulator.accounts import Account
from emulator.chats import Chat
from emulator.connect_files import parse_progress
from emulator.exchange import Reply, Request, json_reply
from emulator.identifiers import moment
from emulator.rpc import RpcError, outage
from emulator.site import Site
from emulator.values import (
    Json,
    Malformed,
    as_object,
    as_texts,
    decode_object,
    integer,
    snake_keys,
    text,
)

CHAT_PATH = "/apiv2/kimi.gateway.chat.v1.ChatService/Chat"

Call = Callable[[Json, Account, Site], Json | Reply]


def unary(path: str, request: Request, account: Account, site: Site) -> Reply:
    """Answer one unary call; raises `RpcError`, also for a call that does not exist."""
    call = CALLS.get(path)
    if call is None:
        raise RpcError("not_found", "there is no such call")
    status = site.outages.strike(path.rpartition("/")[2])
    if status is not None:
        return outage(status)
    try:
        wanted = as_object(snake_keys(decode_object(request.body)), "the body")
        answer = call(wanted, account, site)
    except Malformed as error:
        raise RpcError("invalid_argument", str(error)) from error
    return answer if isinstance(answer, Reply) else json_reply(200, answer)


def _chat(wanted: Json, account: Account, site: Site) -> Chat:
    found = site.chats.find(text(wanted, "chat_id"), account.name, "connect")
    if found is None:
        raise RpcError("not_found", "there is no such chat")
    return found


def _page(wanted: Json, items: list[Json], key: str) -> Json:
    """Cut a list by page_size and page_token; nextPageToken is there only when more follows (C4)."""
    start = int(text(wanted, "page_token") or "0")
    end = start + (integer(wanted, "page_size") or len(items))
    answer: Json = {key: items[start:end]}
    if end < len(items):
        answer["nextPageToken"] = str(end)
    return answer


def _get_chat(wanted: Json, account: Account, site: Site) -> Json:
    return {"chat": _chat(wanted, account, site).as_connect()}


def _list_messages(wanted: Json, account: Account, site: Site) -> Json:
    found = _chat(wanted, account, site)
    messages = [item.as_connect() for item in reversed(found.messages)]
    return _page(wanted, messages, "messages")


def _list_chats(wanted: Json, account: Account, site: Site) -> Json:
    chats = [item.as_connect() for item in site.chats.of(account.name, "connect")]
    return _page(wanted, chats, "chats")


def _delete_chat(wanted: Json, account: Account, site: Site) -> Json:
    found = _chat(wanted, account, site)
    found.deleted = True
    return {}


def _batch_delete_chats(wanted: Json, account: Account, site: Site) -> Json:
    for chat_id in as_texts(wanted.get("chat_ids"), "chat_ids"):
        found = site.chats.find(chat_id, account.name, "connect")
        if found is not None:
            found.deleted = True
    return {}


def _cancel_chat(wanted: Json, account: Account, site: Site) -> Json:
    """Stop the answer under way; message_id must be the assistant's message of this chat."""
    found = _chat(wanted, account, site)
    message = found.message(text(wanted, "message_id"))
    if message is None or message.role != "assistant":
        raise Malformed("message_id is not an assistant message of this chat")
    found.cancel()
    return {}


def _available_models(_wanted: Json, _account: Account, site: Site) -> Json | Reply:
    status = site.models.get("status")
    if isinstance(status, int):
        return json_reply(status, {"code": "internal", "message": "planned"})
    return site.model_list()


def _current_user(_wanted: Json, account: Account, _site: Site) -> Json:
    region = "REGION_OVERSEA" if account.region == "overseas" else "REGION_CN"
    user: Json = {
        "id": account.user_id,
        "nickname": account.name,
        "avatar": "",
        "phone": {},
        "region": region,
        "globalId": account.user_id,
    }
    return {"user": user, "workspace": {"user": {}}}


def _subscription(_wanted: Json, _account: Account, _site: Site) -> Json:
    return {}  # no capture shows its fields; protojson leaves out what a free account has not


def _subscription_stats(_wanted: Json, account: Account, _site: Site) -> Json:
    """Give the shape of captures/11; a ratio of 0 is left out, and a reset that nobody tells."""
    ratio = account.ratio
    window: Json = {"ratio": ratio} if ratio else {}
    window["enabled"] = True
    if account.resets_at is not None:
        window["resetTime"] = moment(account.resets_at, 3)
    balance: Json = {
        "type": "SUBSCRIPTION",
        "feature": "FEATURE_OMNI",
        "unit": "UNIT_CREDIT",
        "domain": "DOMAIN_NEXUS",
        **({"amountUsedRatio": ratio, "kimiCodeUsedRatio": ratio} if ratio else {}),
        "expireTime": "2026-08-28T00:00:00Z",
    }
    return {"ratelimitCode5h": window, "ratelimitCode7d": window, "subscriptionBalance": balance}


_GATEWAY = "/apiv2/kimi.gateway"
_CHATS = f"{_GATEWAY}.chat.v1.ChatService"
_OLD_CHATS = "/apiv2/kimi.chat.v1.ChatService"

CALLS: dict[str, Call] = {
    f"{_CHATS}/GetChat": _get_chat,
    f"{_CHATS}/ListMessages": _list_messages,
    f"{_CHATS}/ListChats": _list_chats,
    f"{_CHATS}/DeleteChat": _delete_chat,
    f"{_OLD_CHATS}/DeleteChat": _delete_chat,
    f"{_CHATS}/BatchDeleteChats": _batch_delete_chats,
    f"{_OLD_CHATS}/BatchDeleteChats": _batch_delete_chats,
    f"{_CHATS}/CancelChat": _cancel_chat,
    f"{_OLD_CHATS}/CancelChat": _cancel_chat,
    "/apiv2-files/kimi.gateway.file.v1.FileService/GetFileParseProgress": parse_progress,
    f"{_GATEWAY}.config.v1.ConfigService/GetAvailableModels": _available_models,
    f"{_GATEWAY}.account.v1.UserService/GetCurrentUser": _current_user,
    f"{_GATEWAY}.order.v1.SubscriptionService/GetSubscription": _subscription,
    f"{_GATEWAY}.membership.v2.MembershipService/GetSubscriptionStats": _subscription_stats,
}
