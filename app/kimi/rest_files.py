"""Files of the legacy protocol: builders of requests, and what is read from their answers (protocol.md A7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.chat.content import Content
from app.errors import AttachmentRefused, GatewayError, InvalidRequest, RequestTooLarge, UpstreamProtocolError
from app.kimi import json, rest, rest_errors
from app.kimi.http import FileBody, HttpAnswer, HttpRequest
from app.kimi.reading import Reading

_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a file go: a URL that is signed for them, and the names that they will have."""

    url: str = field(repr=False)
    object_name: str
    file_id: str


def request_place(base: str, token: str, content: Content) -> HttpRequest:
    """Ask where to put a file."""
    body: dict[str, object] = {"action": _kind(content), "name": content.name}
    return rest.call("POST", base, "/api/pre-sign-url", token, body)


def place_of(answer: HttpAnswer, base: str) -> Place:
    """Where to put it. Raises what a refusal means.

    The bytes go to a storage host of Kimi's choice, but encrypted, or to the site itself.
    """
    body = _parsed(answer)
    place = Place(json.text(body, "url"), json.text(body, "object_name"), json.text(body, "file_id"))
    if not place.url:
        raise refusal(answer)
    site = urlsplit(base)
    try:
        url = urlsplit(place.url)
        trusted = bool(url.hostname) and (
            url.scheme == "https" or (url.scheme, url.netloc) == (site.scheme, site.netloc)
        )
    except ValueError:  # an unclosed bracket
        trusted = False
    if not trusted:
        raise UpstreamProtocolError("Kimi named a place for the file that is not to be trusted.")
    return place


def put(place: Place, content: Content) -> HttpRequest:
    """Send the bytes. The URL itself is the permission: no token goes to that host."""
    headers = {"Content-Type": content.media_type}
    return HttpRequest("PUT", place.url, headers, FileBody(content.file, content.size))


def register(base: str, token: str, content: Content, place: Place) -> HttpRequest:
    """Make a file of what was put."""
    body: dict[str, object] = {"type": _kind(content), "name": content.name}
    if content.is_image:
        body["file_id"] = place.file_id
    else:
        body |= {"object_name": place.object_name, "file_id": ""}
    return rest.call("POST", base, "/api/file", token, body)


def registered(answer: HttpAnswer) -> str:
    """The id of the new file. Raises what a refusal means."""
    file_id = json.text(_parsed(answer), "id")
    if not file_id:
        raise refusal(answer)
    return file_id


def parse(base: str, token: str, file_id: str) -> HttpRequest:
    """Ask for the progress of reading a file, as a stream."""
    return rest.call("POST", base, "/api/file/parse_process", token, {"ids": [file_id]})


def reading(data: str, file_id: str) -> Reading | None:
    """What one event of that stream says of a file; None if it speaks of another one."""
    try:
        event = json.parse(data)
    except ValueError:
        return None
    info = json.member(event, "file_info")
    if (json.text(event, "id") or json.text(info, "id")) != file_id:
        return None
    reason = json.saying(info, "failed_reason")
    status = json.text(event, "status") or json.text(info, "status")
    if reason or "fail" in status:
        return Reading(done=True, refusal=reason)
    return Reading(done=status == "parsed", is_there=status in {"initialized", "parsing"})


def is_unknown(answer: HttpAnswer) -> bool:
    """Whether the site says that it has no such file; a guess, after what it says of conversations (protocol.md A6)."""
    return json.text(_parsed(answer), "error_type") == "file.not_found"


def refusal(answer: HttpAnswer) -> GatewayError:
    """What an answer means that should have been about a file. The shape of such refusals was never captured."""
    if answer.status == _TOO_LARGE:
        return RequestTooLarge("Kimi refused the file as too large.")
    body = _parsed(answer)
    error = rest_errors.from_answer(answer)
    of_file = json.text(body, "error_type").startswith("file.")
    if not of_file and type(error) is not InvalidRequest:
        return error
    reason = json.saying(body, "message")
    return AttachmentRefused(f"Kimi refused the file: {reason}" if reason else "Kimi refused the file.")


def _kind(content: Content) -> str:
    return "image" if content.is_image else "file"


def _parsed(answer: HttpAnswer) -> object:
    try:
        return json.parse(answer.body)
    except ValueError:
        return None
