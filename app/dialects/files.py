"""POST and GET /v1/files, GET and DELETE /v1/files/{id}: OpenAI's Files."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Request, Response, jsonify, request

from app.attachments.intake import checked_name
from app.attachments.shelf import Record
from app.chat.cancellation import Cancellation
from app.dialects.doorstep import Doorstep
from app.dialects.hangup import watching
from app.dialects.multipart import reading_form
from app.errors import AttachmentRefused, FileNotFound, InvalidRequest, RequestTooLarge
from app.gateway.files import Files

DEFAULT_PURPOSE = "user_data"
MAX_PURPOSE = 64
MAX_PAGE = 10_000
_MAX_DIGITS = 9


def blueprint(door: Doorstep, files: Files) -> Blueprint:
    """The files of an account."""
    routes = Blueprint("files", __name__)

    @routes.post("/v1/files")
    def upload() -> Response:
        """Take a file in, and have Kimi hold it."""
        return jsonify(_object(_taken_in(request, door, files)))

    @routes.get("/v1/files")
    def list_files() -> Response:
        """List the files, the newest first unless asked otherwise."""
        return jsonify(_page(files.records(door.credentials(request)), request.args))

    @routes.get("/v1/files/<file_id>")
    def get_file(file_id: str) -> Response:
        """Tell of one file."""
        return jsonify(_object(files.find(door.credentials(request), file_id)))

    @routes.delete("/v1/files/<file_id>")
    def delete_file(file_id: str) -> Response:
        """Forget a file."""
        files.remove(door.credentials(request), file_id)
        return jsonify({"id": file_id, "object": "file", "deleted": True})

    return routes


def _taken_in(request: Request, door: Doorstep, files: Files) -> Record:
    """The file of a form, once Kimi holds it."""
    credentials = door.credentials(request)
    cancellation = Cancellation()
    with reading_form(
        request.environ["wsgi.input"],
        request.content_length,
        request.content_type,
        request.headers.get("Content-Encoding"),
        files.max_bytes,
    ) as form:
        purpose = _purpose(form.fields.get("purpose"))
        try:
            content = form.spool.content(checked_name(form.name), form.media_type)
            with watching(request.environ.get("gunicorn.socket"), cancellation.cancel):
                return files.store(credentials, content, purpose, cancellation)
        except (AttachmentRefused, RequestTooLarge) as error:
            error.param = error.param or "file"
            raise


def _page(records: list[Record], args: Mapping[str, str]) -> dict[str, object]:
    """The part of a list that is asked for. Raises InvalidRequest or FileNotFound."""
    records = list(reversed(records)) if args.get("order") == "asc" else records
    if purpose := args.get("purpose"):
        records = [record for record in records if record.purpose == purpose]
    if after := args.get("after"):
        places = [index for index, record in enumerate(records) if record.file_id == after]
        if not places:
            raise FileNotFound("There is no file of the id in after.", param="after")
        records = records[places[0] + 1 :]
    page = records[: _limit(args.get("limit"))]
    return {
        "object": "list",
        "data": [_object(record) for record in page],
        "first_id": page[0].file_id if page else None,
        "last_id": page[-1].file_id if page else None,
        "has_more": len(page) < len(records),
    }


def _object(record: Record) -> dict[str, object]:
    return {
        "id": record.file_id,
        "object": "file",
        "bytes": record.size,
        "created_at": int(record.created),
        "filename": record.name,
        "purpose": record.purpose,
        "status": "processed" if record.is_read else "uploaded",
    }


def _purpose(given: str | None) -> str:
    if given is None or not given.strip():
        return DEFAULT_PURPOSE
    if len(given) > MAX_PURPOSE or not given.isprintable():
        raise InvalidRequest("purpose must be a short word.", param="purpose")
    return given


def _limit(given: str | None) -> int:
    if given is None:
        return MAX_PAGE
    if not given.isdecimal() or len(given) > _MAX_DIGITS or not 0 < int(given) <= MAX_PAGE:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_PAGE}.", param="limit")
    return int(given)
