"""The control plane: how a test arranges the site and looks at what happened (see the README)."""

from collections.abc import Callable

from emulator.accounts import Account
from emulator.answers import read_answer
from emulator.chats import Message
from emulator.connect_unary import CALLS
from emulator.exchange import Reply, Request, json_reply
from emulator.identifiers import chat_uuid
from emulator.legacy_site import DELETE
from emulator.site import Site
from emulator.uploads import read_upload_order
from emulator.values import (
    Json,
    Malformed,
    as_object,
    as_objects,
    decode_object,
    flag,
    integer,
    number,
    refuse_unknown,
    text,
)

PREFIX = "/emulator/"

_UNARY = frozenset({*(path.rpartition("/")[2] for path in CALLS), DELETE})
_FIRST_ERROR, _LAST_ERROR = 400, 599


def answer(request: Request, site: Site) -> Reply:
    """Answer one request of the control plane; a mistake in it is a 400 that says which."""
    name, _, rest = request.path.removeprefix(PREFIX).partition("/")
    action = _ACTIONS.get((request.method, name))
    if action is None or (rest and name != "accounts"):
        return json_reply(404, {"error": f"no {request.method} {request.path} here"})
    try:
        return json_reply(200, action(decode_object(request.body), rest, site))
    except Malformed as error:
        return json_reply(400, {"error": str(error)})


def _known_account(name: str, site: Site) -> Account:
    account = site.accounts.named(name)
    if account is None:
        raise Malformed(f"there is no account {name!r}")
    return account


def _open_account(wanted: Json, _rest: str, site: Site) -> Json:
    return site.accounts.newest(site.accounts.open(wanted))


def _list_accounts(_wanted: Json, rest: str, site: Site) -> Json:
    names = [rest] if rest else site.accounts.names()
    shown = [site.accounts.newest(_known_account(name, site)) for name in names]
    return {"accounts": shown}


def _change_account(wanted: Json, rest: str, site: Site) -> Json:
    account = _known_account(rest, site)
    site.accounts.change(account, wanted)
    if flag(wanted, "expire_access"):
        site.accounts.expire_access(account)
    return site.accounts.newest(account)


def _set_plan(wanted: Json, _rest: str, site: Site) -> Json:
    refuse_unknown(wanted, frozenset({"account", "answers", "repeat"}), "a plan")
    answers = tuple(map(read_answer, as_objects(wanted.get("answers"), "answers")))
    account = text(wanted, "account") or None
    if account:
        _known_account(account, site)
    site.plan.set(account, answers, repeat=flag(wanted, "repeat"))
    return {"planned": len(answers)}


def _show_log(_wanted: Json, _rest: str, site: Site) -> Json:
    return {"entries": [entry.as_json() for entry in site.log.entries]}


def _show_chats(_wanted: Json, _rest: str, site: Site) -> Json:
    return {"chats": [chat.as_control() for chat in site.chats.everything()]}


def _open_chat(wanted: Json, _rest: str, site: Site) -> Json:
    """Make a chat as its owner would by hand in the browser: one question, one answer."""
    refuse_unknown(wanted, frozenset({"account"}), "a chat")
    account = _known_account(text(wanted, "account"), site)
    chat = site.chats.open_connect(account.name)
    question = Message(chat_uuid(), chat.id, "user", "A question typed by hand")
    reply = Message(chat_uuid(), question.id, "assistant", "The answer to it")
    chat.name = question.text
    chat.messages += [question, reply]
    return chat.as_control()


def _set_models(wanted: Json, _rest: str, site: Site) -> Json:
    refuse_unknown(wanted, frozenset({"answer", "status"}), "models")
    if "answer" in wanted:
        as_object(wanted["answer"], "answer")
    integer(wanted, "status")
    site.models = wanted
    return {}


def _set_auth(wanted: Json, _rest: str, site: Site) -> Json:
    refuse_unknown(wanted, frozenset({"status", "body", "delay"}), "auth")
    integer(wanted, "status")
    number(wanted, "delay")
    site.auth = wanted
    return {}


def _set_unary(wanted: Json, _rest: str, site: Site) -> Json:
    refuse_unknown(wanted, frozenset({"call", "status", "times"}), "unary")
    if not wanted:
        site.outages.clear()
        return {}
    call, status, times = text(wanted, "call"), integer(wanted, "status"), integer(wanted, "times")
    if call not in _UNARY:
        raise Malformed(f"there is no unary call {call!r}")
    if not _FIRST_ERROR <= status <= _LAST_ERROR:
        raise Malformed("status must be from 400 to 599")
    if times < 0:
        raise Malformed("times must not be negative")
    site.outages.order(call, status, times)
    return {}


def _show_files(_wanted: Json, _rest: str, site: Site) -> Json:
    files = [file.as_control() for file in site.files.everything()]
    return {"files": files, "most_at_once": site.uploads.most_at_once}


def _forget_file(wanted: Json, _rest: str, site: Site) -> Json:
    refuse_unknown(wanted, frozenset({"forget"}), "files")
    if not site.files.forget(text(wanted, "forget")):
        raise Malformed("there is no such file")
    return {}


def _set_uploads(wanted: Json, _rest: str, site: Site) -> Json:
    site.uploads.set(read_upload_order(wanted))
    return {}


def _reset(_wanted: Json, _rest: str, site: Site) -> Json:
    site.reset()
    return {}


_ACTIONS: dict[tuple[str, str], Callable[[Json, str, Site], Json]] = {
    ("POST", "accounts"): _open_account,
    ("GET", "accounts"): _list_accounts,
    ("PATCH", "accounts"): _change_account,
    ("POST", "plan"): _set_plan,
    ("GET", "log"): _show_log,
    ("GET", "chats"): _show_chats,
    ("POST", "chats"): _open_chat,
    ("POST", "models"): _set_models,
    ("POST", "auth"): _set_auth,
    ("POST", "unary"): _set_unary,
    ("GET", "files"): _show_files,
    ("POST", "files"): _forget_file,
    ("POST", "uploads"): _set_uploads,
    ("POST", "reset"): _reset,
}
