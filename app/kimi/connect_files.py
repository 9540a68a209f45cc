"""Files of the Connect protocol: builders of requests, and what is read from their answers (protocol.md B12)."""

from __future__ import annotations

import secrets

from urllib3.fields import RequestField

from app.chat.content import Content
from app.errors import (
    AttachmentRefused,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    RequestTooLarge,
    UpstreamProtocolError,
)
from app.kimi import connect, connect_errors, json
from app.kimi.http import FileBody, HttpAnswer, HttpRequest
from app.kimi.reading import Reading

PROGRESS = "kimi.gateway.file.v1.FileService/GetFileParseProgress"

_TOO_LARGE = 413
_WRONG_TYPE = 415


def upload(site: str, token: str, content: Content) -> HttpRequest:
    """Send a file: multipart with one part, named `file`."""
    boundary = secrets.token_hex(16)
    part = RequestField(name="file", data=b"", filename=content.name)
    part.make_multipart(content_type=content.media_type)
    head = f"--{boundary}\r\n{part.render_headers()}".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    return HttpRequest(
        method="POST",
        url=f"{site}/apiv2-files/file/upload",
        headers=connect.headers(site, token, f"multipart/form-data; boundary={boundary}"),
        body=FileBody(content.file, content.size, head, tail),
    )


def progress(site: str, token: str, file_id: str) -> HttpRequest:
    """Ask how far the site is with reading a file."""
    return HttpRequest(
        method="POST",
        url=f"{site}/apiv2-files/{PROGRESS}",
        headers=connect.headers(site, token, "application/json"),
        body=json.dump({"file_ids": [file_id]}),
    )


def uploaded(answer: HttpAnswer) -> str:
    """The id of the file that was sent. Raises what a refusal means."""
    try:
        file_id = json.text(json.parse(answer.body), "file", "id")
    except ValueError:
        file_id = ""
    if not file_id:
        raise refusal(answer)
    return file_id


def refusal(answer: HttpAnswer) -> GatewayError:
    """What an answer to an upload means that names no file: for a file, "invalid" is said of the file."""
    if answer.status == _TOO_LARGE:
        return RequestTooLarge("Kimi refused the file as too large.")
    error = connect_errors.from_answer(answer)
    if isinstance(error, ConversationNotFound):
        return UpstreamProtocolError("Kimi no longer offers this call.")  # of conversations nothing was asked
    plain = type(error) in {InvalidRequest, ContextLengthExceeded}
    if not plain and answer.status != _WRONG_TYPE:
        return error
    reason = connect_errors.saying(answer)
    return AttachmentRefused(f"Kimi refused the file: {reason}" if reason else "Kimi refused the file.")


def reading(answer: HttpAnswer, file_id: str) -> Reading:
    """How far the site is with a file. An answer that does not name it says that it is not read yet."""
    try:
        found = list(json.items(json.parse(answer.body), "progresses"))
    except ValueError:
        raise connect_errors.from_answer(answer) from None
    for progress in found:
        if json.text(progress, "fileId") == file_id:
            return _state(progress)
    return Reading(done=False)


def _state(progress: object) -> Reading:
    status = json.text(progress, "status")
    if status.endswith("FAILED"):
        # No failure was ever captured: the field of the reason is a guess, by the legacy site's name for it.
        return Reading(done=True, refusal=json.saying(progress, "failedReason") or json.saying(progress, "reason"))
    return Reading(done=status.endswith("SUCCESS"))
