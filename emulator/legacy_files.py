"""Files of the legacy site: a pre-signed address, the PUT, the registration, the parsing (A7)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hmac import compare_digest
from urllib.parse import parse_qs

from emulator import legacy_events
from emulator.accounts import Account
from emulator.answers import LegacyError
from emulator.exchange import Reply, Request, json_reply, whole_reply
from emulator.files import MOST_BYTES, Kind, StoredFile
from emulator.identifiers import moment, xid
from emulator.legacy_errors import NOT_FOUND, LegacyRefusal
from emulator.presigned import Grant
from emulator.received import Part
from emulator.site import Site
from emulator.steps import Send, pause
from emulator.values import Json, Malformed, as_texts, text

# No error of the file calls was ever captured: these types are made up in the manner of A6.
FILE_NOT_FOUND = LegacyError("file.not_found", "there is no such file")
FILE_NOT_PARSED = LegacyError("file.not_parsed", "the file has not been parsed")
NOTHING_PUT = LegacyError("file.not_uploaded", "nothing was put to the address")
EMPTY = LegacyError("file.empty", "the file is empty")
REFUSED_TYPE = LegacyError("file.type_not_supported", "unsupported file type")

_KINDS: dict[str, Kind] = {"file": "file", "image": "image"}
_CHARACTERS_PER_TOKEN = 4


def pre_sign(request: Request, wanted: Json, account: Account, site: Site) -> Reply:
    """Permit one upload, to an address on this very server."""
    kind, name = _kind(wanted, "action"), _name(wanted)
    grant = site.grants.issue(account.name, kind, name)
    address = grant.address(request.headers.get("host", ""))
    return json_reply(200, {"url": address, "object_name": grant.object_name, "file_id": grant.file_id})


def put(request: Request, site: Site) -> Reply:
    """Take bytes at a pre-signed address, after the ordered delay.

    The address is all the permission there is: a client that sends its token along gives it to a
    storage provider that has no business with it, so that is refused here.
    """
    grant = site.grants.at(request.path)
    signature = "".join(parse_qs(request.query).get("X-Tos-Signature", []))
    if grant is None or not compare_digest(signature.encode(), grant.signature.encode()):
        return _storage_error(403, "SignatureDoesNotMatch")
    if request.received is None:
        return _storage_error(405, "MethodNotAllowed")
    if "authorization" in request.headers:
        return _storage_error(400, "AuthorizationNotExpected")
    if "content-length" not in request.headers:
        return _storage_error(411, "MissingContentLength")
    status = site.uploads.strike_status()
    reply = _storage_error(status, "Planned") if status is not None else _take(request.received.parts[0], grant)
    return replace(reply, before=tuple(pause(site.uploads.order.delay)))


def owner(path: str, site: Site) -> str | None:
    """Tell whose upload a pre-signed address is for."""
    grant = site.grants.at(path)
    return grant.account if grant else None


def register(request: Request, wanted: Json, account: Account, site: Site) -> Reply:
    """Make a file of what was put; the same again answers the same file. Raises `LegacyRefusal`."""
    kind, name = _kind(wanted, "type"), _name(wanted)
    chat_id = text(wanted, "chat_id")
    if chat_id and site.chats.find(chat_id, account.name, "legacy") is None:
        raise LegacyRefusal(404, NOT_FOUND)
    key = "object_name" if kind == "file" else "file_id"
    grant = site.grants.of(account.name, kind, **{key: text(wanted, key)})
    if grant is None:
        raise LegacyRefusal(404, FILE_NOT_FOUND)
    if grant.received is None:
        raise LegacyRefusal(400, NOTHING_PUT)
    if grant.stored is None:
        grant.stored = _stored(grant, grant.received, name, site)
        grant.stored.address = grant.address(request.headers.get("host", ""))
        site.files.keep(grant.stored)
    return json_reply(200, _as_json(grant.stored))


def parse_process(wanted: Json, account: Account, site: Site) -> Reply:
    """Tell line by line how the parsing of files goes on."""
    ids = as_texts(wanted.get("ids"), "ids")
    files = _all_known(ids, account, site)
    steps = _progress(files, site.uploads.order.parsing_lines)
    return Reply(200, legacy_events.STREAM_TYPE, steps, headers=(("cache-control", "no-cache"),))


def referred(wanted: Json, account: Account, site: Site) -> list[StoredFile]:
    """Find the files that a completion refers to; an image need not have been parsed (A7.5).

    Ids of the Connect upload are unknown here: no source has ever used one so.
    """
    files = _all_known(as_texts(wanted.get("refs") or [], "refs"), account, site)
    for file in files:
        if file.protocol != "legacy":
            raise LegacyRefusal(400, FILE_NOT_FOUND)
        if file.status == "failed" or (file.kind == "file" and file.status != "parsed"):
            raise LegacyRefusal(400, FILE_NOT_PARSED)
    return files


def _kind(wanted: Json, key: str) -> Kind:
    kind = _KINDS.get(text(wanted, key))
    if kind is None:
        raise Malformed(f"{key} must be file or image")
    return kind


def _name(wanted: Json) -> str:
    name = text(wanted, "name")
    if not name:
        raise Malformed("name is missing")
    return name


def _storage_error(status: int, code: str) -> Reply:
    """Refuse as an object storage does: XML, and nothing of Kimi's."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    return whole_reply(status, body.encode(), "application/xml")


def _take(part: Part, grant: Grant) -> Reply:
    if part.size > MOST_BYTES:
        return _storage_error(413, "EntityTooLarge")
    grant.received = part
    return whole_reply(200, b"", "application/xml", (("ETag", f'"{part.sha256[:32]}"'),))


def _stored(grant: Grant, part: Part, name: str, site: Site) -> StoredFile:
    if part.size == 0:
        raise LegacyRefusal(400, EMPTY)
    if site.uploads.order.refuses(name, part.content_type):
        raise LegacyRefusal(400, REFUSED_TYPE)
    return StoredFile(
        id=xid() if grant.kind == "file" else grant.file_id,
        account=grant.account,
        name=name,
        content_type=part.content_type,
        size=part.size,
        sha256=part.sha256,
        kind=grant.kind,
        protocol="legacy",
        text=part.text,
        polls=site.uploads.order.polls,
        fail=site.uploads.strike_failure(),
    )


def _as_json(file: StoredFile) -> Json:
    """Give the shape of captures/09."""
    created = moment(file.created, 9)
    return {
        "id": file.id,
        "name": file.name,
        "parent_path": "",
        "type": file.kind,
        "status": file.status,
        "presigned_url": file.address,
        "text_presigned_url": file.address,
        "uploaded_at": created,
        "created_at": created,
        "updated_at": created,
    }


def _all_known(ids: Sequence[str], account: Account, site: Site) -> list[StoredFile]:
    files = [site.files.find(file_id, account.name) for file_id in ids]
    if None in files:
        raise LegacyRefusal(400, FILE_NOT_FOUND)
    return [file for file in files if file is not None]


def _progress(files: list[StoredFile], most: int) -> Iterator[Send]:
    """Send a line for each step of each file, at most so many "not yet" (0 for no limit)."""
    for file in files:
        told = 0
        while file.poll() == "parsing":
            yield _line(file)
            told += 1
            if told == most:
                break
        else:
            yield _line(file)


def _line(file: StoredFile) -> Send:
    """Send one line of captures/09. No failure was captured: `failed` is a guess, failed_reason is not."""
    info: Json = {
        "id": file.id,
        "name": file.name,
        "type": file.kind,
        "content_type": file.ext,
        "status": file.status,
        "size": file.size,
        "token_size": file.size // _CHARACTERS_PER_TOKEN if file.status == "parsed" else 0,
        "failed_reason": (file.fail or "") if file.status == "failed" else "",
    }
    return legacy_events.event("resp", file_info=info, id=file.id, status=file.status)
