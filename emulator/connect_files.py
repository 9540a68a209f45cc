"""Files of the Connect site: the upload, and how far the parsing is (B12)."""

from dataclasses import replace
from urllib.parse import quote

from emulator.accounts import Account
from emulator.exchange import Reply, Request, json_reply
from emulator.files import MOST_BYTES, FileShelf, StoredFile
from emulator.identifiers import chat_uuid, moment
from emulator.received import Part, Received
from emulator.rpc import RpcError, outage
from emulator.site import Site
from emulator.steps import pause
from emulator.values import Json, Malformed, as_texts, child, text

UPLOAD_PATH = "/apiv2-files/file/upload"
READY = "PROCESS_STATUS_SUCCESS"


def upload(request: Request, account: Account, site: Site) -> Reply:
    """Answer one upload of an account that has been let in, after the ordered delay."""
    status = site.uploads.strike_status()
    try:
        reply = outage(status) if status is not None else _store(request, account, site)
    except RpcError as error:
        reply = error.unary()
    return replace(reply, before=tuple(pause(site.uploads.order.delay)))


def parse_progress(wanted: Json, account: Account, site: Site) -> Json:
    """Tell of each file how far its parsing is; every question brings it on."""
    files = [_known(file_id, account, site) for file_id in as_texts(wanted.get("file_ids"), "file_ids")]
    return {"progresses": [_progress(file) for file in files]}


def named_files(blocks: tuple[Json, ...], account: Account, shelf: FileShelf) -> list[StoredFile]:
    """Find the files that a message's blocks name; raises `Malformed` for one that cannot be used.

    What the site says to a file that is not there or not ready was never captured. Files of the
    legacy upload may be named too (B12, two sources); an image need not have been parsed.
    """
    found: list[StoredFile] = []
    for block in blocks:
        if "file" not in block:
            continue
        named = child(block, "file")
        file = shelf.find(text(named, "id"), account.name)
        if file is None:
            raise Malformed("there is no such file")
        if text(named, "status") != READY:
            raise Malformed(f"file.status must be {READY}")
        if file.status == "failed" or (file.kind == "file" and file.status != "parsed"):
            raise Malformed("the file has not been parsed")
        found.append(file)
    return found


def as_json(file: StoredFile) -> Json:
    """Give a file as the upload answers it, and as chat.files carries it (captures/02)."""
    answer: Json = {
        "id": file.id,
        "meta": {
            "name": file.name,
            "contentType": file.content_type,
            "sizeBytes": str(file.size),
            "checksum": file.sha256,
            "ext": file.ext,
            "createTime": moment(file.created, 9),
            "type": "FILE_TYPE_IMAGE" if file.kind == "image" else "FILE_TYPE_FILE",
        },
        "blob": {"signUrl": f"{file.address}&t=o", "previewUrl": ""},
    }
    if file.kind == "image":
        sizes = {"thumbnailUrl": "t", "previewUrl": "p", "mobileThumbnailUrl": "m"}
        answer["parseResult"] = {"thumbnail": {key: f"{file.address}&t={size}" for key, size in sizes.items()}}
    return answer


def _known(file_id: str, account: Account, site: Site) -> StoredFile:
    file = site.files.find(file_id, account.name)
    if file is None:
        raise RpcError("not_found", "there is no such file")
    return file


def _progress(file: StoredFile) -> Json:
    file.poll()
    progress: Json = {"fileId": file.id, "status": file.connect_status}
    if file.status == "failed" and file.fail:
        progress["failedReason"] = file.fail  # no failure was ever captured; the field is a guess
    return progress


def _only_part(received: Received | None) -> tuple[str, Part]:
    """Give the one part of a form, with its file name."""
    if received is None or received.mistake:
        raise RpcError("invalid_argument", received.mistake if received else "there is no body")
    if len(received.parts) != 1 or received.parts[0].field != "file":
        raise RpcError("invalid_argument", "the form must have one part, named file")
    part = received.parts[0]
    if not part.name:
        raise RpcError("invalid_argument", "the part must have a filename")
    return part.name, part


def _store(request: Request, account: Account, site: Site) -> Reply:
    name, part = _only_part(request.received)
    if part.size == 0:
        raise RpcError("invalid_argument", "the file is empty")
    if part.size > MOST_BYTES:
        # The limit is known (B12), the answer behind it is not.
        return json_reply(413, {"code": "invalid_argument", "message": "the file is too large"})
    if site.uploads.order.refuses(name, part.content_type):
        raise RpcError("invalid_argument", "unsupported file type", "REASON_FILE_TYPE_NOT_SUPPORTED")
    file_id, host = chat_uuid(), request.headers.get("host", "")
    file = StoredFile(
        id=file_id,
        account=account.name,
        name=name,
        content_type=part.content_type,
        size=part.size,
        sha256=part.sha256,
        kind="image" if part.content_type.startswith("image/") else "file",
        protocol="connect",
        text=part.text,
        polls=site.uploads.order.polls,
        fail=site.uploads.strike_failure(),
        address=f"http://{host}/apiv2-files/sign-obj/{file_id}?filename={quote(name, safe='')}&sig={part.sha256[:16]}",
    )
    if file.polls == 0:
        file.poll()  # nobody need ask: it is parsed at once
    site.files.keep(file)
    return json_reply(200, {"file": as_json(file)})
