"""Files on Kimi's side: uploaded by either protocol, and waited for until they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import pytest

from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import (
    AttachmentRefused,
    ClientGone,
    FileNotFound,
    GatewayError,
    RateLimitExceeded,
    RequestTooLarge,
    TokenExpired,
    UpstreamBlocked,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi.client import Account
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.sites import Sites
from app.kimi.storage import PAUSES, READ_WITHIN, Storage
from tests.drip import drip
from tests.fakes import EVENT_STREAM, FakeClock, FakeTransport, Reply, Streamed, json_answer
from tests.kimi.answers import page
from tests.kimi.contents import document, image
from tests.kimi.streams import lines

LEGACY: Final = "https://legacy.example"
CONNECT: Final = Account("token")
REST: Final = Account("token", protocol="rest")
BOTH: Final = pytest.mark.parametrize("account", [CONNECT, REST], ids=["connect", "rest"])
DOWN: Final = UpstreamUnavailable("closed")
LATE: Final = UpstreamTimeout("silent")
REFUSED: Final = HttpAnswer(401, {}, b"")
BUSY: Final = HttpAnswer(429, {}, b"")

Respond = Callable[[HttpRequest], Reply]


class Waiting:
    """Time as a test tells it: `pauses` are those that were made; a cancellation ends them."""

    def __init__(self) -> None:
        self.clock = FakeClock(0.0)
        self.pauses: list[float] = []

    def wait(self, cancellation: Cancellation, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        cancellation.check()


def stored(respond: Respond) -> tuple[Storage, FakeTransport, Waiting]:
    """A storage over a scripted network, in a time of its own."""
    transport, waiting = FakeTransport(respond), Waiting()
    sites = Sites(legacy=LEGACY)
    return Storage(transport=transport, sites=sites, clock=waiting.clock, wait=waiting.wait), transport, waiting


def sse(*events: object) -> Streamed:
    """A stream of the legacy site that tells of progress."""
    return Streamed([lines(*events)], 200, EVENT_STREAM)


# --- Uploading over Connect -------------------------------------------------------------------------------------

UPLOADED: Final = json_answer({"file": {"id": "f1"}})


@pytest.mark.parametrize(("overseas", "site"), [(False, "https://www.kimi.com"), (True, "https://www.kimi.ai")])
@pytest.mark.parametrize("make", [document, image])
def test_connect_takes_one_call(make: Callable[[bytes], Content], site: str, *, overseas: bool) -> None:
    """To the account's own site, as the account; the bytes stand in it whole."""
    storage, transport, _ = stored(lambda _: UPLOADED)
    assert storage.upload(Account("token", overseas=overseas), make(b"some bytes"), Cancellation()) == "f1"
    (request,), (sent,) = transport.requests, transport.uploaded
    assert request.url == f"{site}/apiv2-files/file/upload"
    assert request.headers["Authorization"] == "Bearer token"
    assert b"\r\n\r\nsome bytes\r\n--" in sent


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (page(413), RequestTooLarge),
        (json_answer({"code": "invalid_argument", "message": "no"}, 400), AttachmentRefused),
        (REFUSED, TokenExpired),
        (BUSY, RateLimitExceeded),
        (page(403), UpstreamBlocked),
        (json_answer({}), UpstreamProtocolError),
        (DOWN, UpstreamUnavailable),
        (LATE, UpstreamTimeout),
    ],
)
def test_an_upload_over_connect_that_fails_says_why(reply: Reply, kind: type[GatewayError]) -> None:
    """It is not tried again here: whether that may help is for others to say."""
    storage, transport, _ = stored(lambda _: reply)
    with pytest.raises(GatewayError) as caught:
        storage.upload(CONNECT, document(), Cancellation())
    assert type(caught.value) is kind
    assert len(transport.requests) == 1


# --- Uploading to the legacy site -------------------------------------------------------------------------------

PUT_URL: Final = "https://storage.example/key"
PLACE: Final = json_answer({"url": PUT_URL, "object_name": "object-1", "file_id": "promised"})
REGISTERED: Final = json_answer({"id": "f1", "status": "initialized"})
PUT_OK: Final = HttpAnswer(200, {}, b"")


def legacy(place: Reply = PLACE, put: Reply = PUT_OK, register: Reply = REGISTERED) -> Respond:
    """The three answers to an upload."""
    return lambda request: {"pre-sign-url": place, "key": put, "file": register}[request.url.rpartition("/")[2]]


@pytest.mark.parametrize(
    ("content", "registered"),
    [
        (document(b"bytes"), {"type": "file", "name": "a.pdf", "object_name": "object-1", "file_id": ""}),
        (image(b"bytes"), {"type": "image", "name": "a.png", "file_id": "promised"}),
    ],
    ids=["document", "image"],
)
def test_the_legacy_site_takes_three_calls(content: Content, registered: dict[str, str]) -> None:
    """A place is asked for, filled, and made a file; only the site itself sees the token."""
    storage, transport, _ = stored(legacy())
    assert storage.upload(REST, content, Cancellation()) == "f1"
    assert [f"{request.method} {request.url}" for request in transport.requests] == [
        f"POST {LEGACY}/api/pre-sign-url",
        f"PUT {PUT_URL}",
        f"POST {LEGACY}/api/file",
    ]
    assert ["Authorization" in request.headers for request in transport.requests] == [True, False, True]
    assert transport.uploaded == [b"bytes"]
    assert transport.bodies("file") == [registered]


@pytest.mark.parametrize("status", [200, 201, 204])
def test_the_storage_may_say_yes_in_any_way(status: int) -> None:
    """It is another vendor's."""
    storage, _, _ = stored(legacy(put=HttpAnswer(status, {}, b"")))
    assert storage.upload(REST, document(), Cancellation()) == "f1"


@pytest.mark.parametrize(
    ("replies", "kind", "calls"),
    [
        ({"place": REFUSED}, TokenExpired, 1),
        ({"place": BUSY}, RateLimitExceeded, 1),
        ({"place": page(403)}, UpstreamBlocked, 1),
        ({"place": json_answer({"error_type": "file.type_not_supported"}, 400)}, AttachmentRefused, 1),
        ({"place": json_answer({"url": "http://storage.example/key"})}, UpstreamProtocolError, 1),
        ({"place": json_answer({})}, UpstreamProtocolError, 1),
        ({"place": DOWN}, UpstreamUnavailable, 1),
        ({"put": HttpAnswer(413, {}, b"<Error>")}, RequestTooLarge, 2),
        ({"put": HttpAnswer(400, {}, b"<Error>")}, UpstreamUnavailable, 2),
        ({"put": HttpAnswer(401, {}, b"")}, UpstreamUnavailable, 2),
        ({"put": HttpAnswer(403, {}, b"<Error>")}, UpstreamUnavailable, 2),
        ({"put": HttpAnswer(307, {"location": "http://evil.example"}, b"")}, UpstreamUnavailable, 2),
        ({"put": HttpAnswer(503, {}, b"")}, UpstreamUnavailable, 2),
        ({"put": DOWN}, UpstreamUnavailable, 2),
        ({"put": LATE}, UpstreamTimeout, 2),
        ({"register": REFUSED}, TokenExpired, 3),
        ({"register": json_answer({"error_type": "file.empty", "message": "no"}, 400)}, AttachmentRefused, 3),
        ({"register": json_answer({})}, UpstreamProtocolError, 3),
        ({"register": LATE}, UpstreamTimeout, 3),
    ],
)
def test_an_upload_to_the_legacy_site_that_fails_goes_no_further(
    replies: dict[str, Reply], kind: type[GatewayError], calls: int
) -> None:
    """The storage knows nothing of tokens: its refusal is none of the account."""
    storage, transport, _ = stored(legacy(**replies))
    with pytest.raises(GatewayError) as caught:
        storage.upload(REST, document(), Cancellation())
    assert type(caught.value) is kind
    assert len(transport.requests) == calls


def test_what_the_storage_says_is_not_passed_on() -> None:
    """It may hold the signed address."""
    storage, _, _ = stored(legacy(put=HttpAnswer(403, {}, b"<Error>signature abc</Error>")))
    with pytest.raises(UpstreamUnavailable) as caught:
        storage.upload(REST, document(), Cancellation())
    assert caught.value.message == "Kimi's storage answered 403 to the file."


@BOTH
def test_nothing_is_uploaded_for_a_client_that_has_left(account: Account) -> None:
    """Not even a place is asked for."""
    storage, transport, _ = stored(legacy())
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(ClientGone):
        storage.upload(account, document(), gone)
    assert transport.requests == []


def test_a_client_that_leaves_before_the_bytes_leaves_no_file_behind() -> None:
    """What was put nowhere is made no file."""
    gone = Cancellation()

    def respond(request: HttpRequest) -> Reply:
        gone.cancel()
        return legacy()(request)

    storage, transport, _ = stored(respond)
    with pytest.raises(ClientGone):
        storage.upload(REST, document(), gone)
    assert transport.calls == ["pre-sign-url"]
    assert transport.uploaded == []


# --- Waiting ----------------------------------------------------------------------------------------------------


def progress(account: Account, status: str, reason: str | None = None) -> Reply:
    """What a site says of the file f1: `initialized`, `parsing`, `parsed` or `failed`."""
    if account.protocol == "rest":
        return sse({"event": "resp", "id": "f1", "status": status, "file_info": {"failed_reason": reason}})
    words = {"initialized": "PROCESSING", "parsing": "PROCESSING", "parsed": "SUCCESS", "failed": "FAILED"}
    return json_answer(
        {"progresses": [{"fileId": "f1", "status": f"PROCESS_STATUS_{words[status]}", "failedReason": reason}]}
    )


def silence(account: Account) -> Reply:
    """An answer that says nothing of the file."""
    return sse({"event": "ping"}) if account.protocol == "rest" else json_answer({"progresses": []})


def in_turn(*replies: Reply) -> Respond:
    """The replies one after the other, the last one for ever."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


@BOTH
@pytest.mark.parametrize("is_image", [False, True], ids=["document", "image"])
def test_a_file_that_is_read_is_not_waited_for(account: Account, *, is_image: bool) -> None:
    """One question."""
    storage, transport, waiting = stored(lambda _: progress(account, "parsed"))
    storage.await_read(account, "f1", Cancellation(), is_image=is_image)
    assert len(transport.requests) == 1
    assert transport.requests[0].headers["Authorization"] == "Bearer token"
    assert waiting.pauses == []
    assert transport.open == 0


@pytest.mark.parametrize(
    ("account", "url", "asked"),
    [
        (
            CONNECT,
            "https://www.kimi.com/apiv2-files/kimi.gateway.file.v1.FileService/GetFileParseProgress",
            {"file_ids": ["f1"]},
        ),
        (
            Account("token", overseas=True),
            "https://www.kimi.ai/apiv2-files/kimi.gateway.file.v1.FileService/GetFileParseProgress",
            {"file_ids": ["f1"]},
        ),
        (REST, f"{LEGACY}/api/file/parse_process", {"ids": ["f1"]}),
    ],
    ids=["connect", "overseas", "rest"],
)
def test_the_account_s_own_site_is_asked(account: Account, url: str, asked: object) -> None:
    """By the file's id."""
    storage, transport, _ = stored(lambda _: progress(account, "parsed"))
    storage.await_read(account, "f1", Cancellation(), is_image=False)
    assert transport.requests[0].url == url
    assert transport.bodies(url.rpartition("/")[2]) == [asked]


@BOTH
@pytest.mark.parametrize("times", [1, 3, len(PAUSES), len(PAUSES) + 4])
def test_the_pauses_grow_and_then_stay(account: Account, times: int) -> None:
    """A small file is read soon, a large one is not asked for every moment."""
    storage, transport, waiting = stored(in_turn(*[progress(account, "parsing")] * times, progress(account, "parsed")))
    storage.await_read(account, "f1", Cancellation(), is_image=False)
    assert waiting.pauses == [*PAUSES, *[PAUSES[-1]] * 9][:times]
    assert len(transport.requests) == times + 1


def test_the_pauses_are_those_of_the_notes() -> None:
    """About a second, two minutes in all (protocol.md B12)."""
    assert PAUSES == (0.2, 0.4, 0.8, 1.0, 1.5, 2.0)
    assert READ_WITHIN == 120.0


@BOTH
@pytest.mark.parametrize(
    ("within", "pauses"),
    [(0.0, []), (0.1, []), (0.2, [0.2]), (1.0, [0.2, 0.4]), (5.0, [0.2, 0.4, 0.8, 1.0, 1.5])],
)
def test_the_wait_ends_at_its_deadline(account: Account, within: float, pauses: list[float]) -> None:
    """No pause goes beyond it; the file is asked about at least once, and a last time after the last pause."""
    storage, transport, waiting = stored(lambda _: progress(account, "parsing"))
    with pytest.raises(UpstreamTimeout) as caught:
        storage.await_read(account, "f1", Cancellation(), is_image=False, within=within)
    assert caught.value.message == f"Kimi has not read the file within {within:g} s."
    assert waiting.pauses == pauses
    assert len(transport.requests) == len(pauses) + 1


@BOTH
def test_a_document_is_given_two_minutes(account: Account) -> None:
    """Where nobody says otherwise."""
    storage, _, waiting = stored(lambda _: progress(account, "parsing"))
    with pytest.raises(UpstreamTimeout):
        storage.await_read(account, "f1", Cancellation(), is_image=False)
    assert 118 < sum(waiting.pauses) <= 120


@BOTH
def test_slow_answers_count_towards_the_deadline(account: Account) -> None:
    """The person waits for them, too."""
    waits: list[Waiting] = []

    def respond(_request: HttpRequest) -> Reply:
        waits[0].clock.advance(10)
        return progress(account, "parsing")

    storage, transport, waiting = stored(respond)
    waits.append(waiting)
    with pytest.raises(UpstreamTimeout):
        storage.await_read(account, "f1", Cancellation(), is_image=False, within=25)
    assert waiting.pauses == [0.2, 0.4]
    assert len(transport.requests) == 3


@BOTH
@pytest.mark.parametrize(("within", "seconds"), [(1.0, 0.6), (None, 9.9), (120.0, 9.9)])
def test_an_image_may_be_asked_about_before_it_is_read(account: Account, within: float | None, seconds: float) -> None:
    """It is given ten seconds at most; then the answer goes on without it being read."""
    storage, _, waiting = stored(lambda _: silence(account))
    limit = {} if within is None else {"within": within}
    storage.await_read(account, "f1", Cancellation(), is_image=True, **limit)
    assert sum(waiting.pauses) == pytest.approx(seconds)


@pytest.mark.parametrize("status", ["initialized", "parsing"])
def test_an_image_of_the_legacy_site_is_ready_as_soon_as_it_is_there(status: str) -> None:
    """It may never become `parsed`: `initialized` is all there is to wait for (protocol.md A7)."""
    storage, transport, waiting = stored(lambda _: progress(REST, status))
    storage.await_read(REST, "f1", Cancellation(), is_image=True)
    assert waiting.pauses == []
    assert len(transport.requests) == 1


@pytest.mark.parametrize("status", ["initialized", "parsing"])
def test_a_document_of_the_legacy_site_is_not_ready_when_it_is_there(status: str) -> None:
    """The site refuses a turn that refers to it."""
    storage, _, waiting = stored(in_turn(progress(REST, status), progress(REST, "parsed")))
    storage.await_read(REST, "f1", Cancellation(), is_image=False)
    assert waiting.pauses == [0.2]


@pytest.mark.parametrize(
    ("account", "reply"),
    [
        (CONNECT, HttpAnswer(404, {}, b"")),
        (CONNECT, json_answer({"code": "unimplemented"}, 501)),
        (CONNECT, page(200)),
        (REST, HttpAnswer(404, {}, b"")),
        (REST, json_answer({})),
        (REST, page(200)),
    ],
)
def test_a_site_that_does_not_tell_is_not_waited_for(account: Account, reply: Reply) -> None:
    """An image can do without; for a document there is no knowing."""
    storage, transport, waiting = stored(lambda _: reply)
    storage.await_read(account, "f1", Cancellation(), is_image=True)
    with pytest.raises(UpstreamProtocolError):
        storage.await_read(account, "f1", Cancellation(), is_image=False)
    assert len(transport.requests) == 2
    assert waiting.pauses == []


@BOTH
@pytest.mark.parametrize("is_image", [False, True], ids=["document", "image"])
@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("文件已加密", "Kimi cannot read the file: 文件已加密"),
        ("a\r\nb\x00", "Kimi cannot read the file: a b"),
        ("", "Kimi cannot read the file."),
        (None, "Kimi cannot read the file."),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    account: Account, reason: str | None, message: str, *, is_image: bool
) -> None:
    """In Kimi's words, at once."""
    storage, transport, waiting = stored(in_turn(silence(account), progress(account, "failed", reason)))
    with pytest.raises(AttachmentRefused) as caught:
        storage.await_read(account, "f1", Cancellation(), is_image=is_image)
    assert caught.value.message == message
    assert len(transport.requests) == 2
    assert waiting.pauses == [0.2]


@pytest.mark.parametrize("is_image", [False, True], ids=["document", "image"])
@pytest.mark.parametrize(
    ("account", "reply"),
    [
        (CONNECT, json_answer({"code": "not_found"}, 404)),
        (CONNECT, json_answer({"code": "invalid_argument"}, 400)),
        (REST, json_answer({"error_type": "file.not_found", "message": "x"}, 404)),
        (REST, json_answer({"error_type": "file.not_found", "message": "x"}, 200)),
    ],
)
def test_a_file_that_is_gone_is_told(account: Account, reply: Reply, *, is_image: bool) -> None:
    """So that it can be uploaded once more; no conversation was spoken of."""
    storage, transport, waiting = stored(lambda _: reply)
    with pytest.raises(FileNotFound):
        storage.await_read(account, "f1", Cancellation(), is_image=is_image)
    assert len(transport.requests) == 1
    assert waiting.pauses == []


@BOTH
@pytest.mark.parametrize("is_image", [False, True], ids=["document", "image"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (REFUSED, TokenExpired),
        (BUSY, RateLimitExceeded),
        (HttpAnswer(500, {}, b""), UpstreamUnavailable),
        (DOWN, UpstreamUnavailable),
    ],
)
def test_what_speaks_against_the_account_ends_the_wait(
    account: Account, reply: Reply, kind: type[GatewayError], *, is_image: bool
) -> None:
    """As what it is; asking on would only be more of the same."""
    storage, transport, _ = stored(lambda _: reply)
    with pytest.raises(GatewayError) as caught:
        storage.await_read(account, "f1", Cancellation(), is_image=is_image)
    assert type(caught.value) is kind
    assert len(transport.requests) == 1


@BOTH
def test_a_site_that_does_not_answer_is_waited_for_once(account: Account) -> None:
    """An image can do without its word; for a document there is no knowing."""
    storage, transport, waiting = stored(lambda _: LATE)
    storage.await_read(account, "f1", Cancellation(), is_image=True)
    with pytest.raises(UpstreamTimeout):
        storage.await_read(account, "f1", Cancellation(), is_image=False)
    assert len(transport.requests) == 2
    assert waiting.pauses == []


@pytest.mark.parametrize("is_image", [False, True], ids=["document", "image"])
def test_a_refused_token_is_told_also_under_status_200(*, is_image: bool) -> None:
    """The legacy site writes its errors under any status (protocol.md A6): the token has to be renewed."""
    reply = json_answer({"error_type": "auth.token.invalid", "message": "x"})
    storage, _, _ = stored(lambda _: reply)
    with pytest.raises(TokenExpired):
        storage.await_read(REST, "f1", Cancellation(), is_image=is_image)


# --- Leaving ----------------------------------------------------------------------------------------------------


@BOTH
def test_a_client_that_leaves_between_two_questions_ends_the_wait(account: Account) -> None:
    """Nothing more is asked."""
    gone = Cancellation()
    transport = FakeTransport(lambda _: progress(account, "parsing"))

    def wait(cancellation: Cancellation, _seconds: float) -> None:
        if len(transport.requests) == 2:
            cancellation.cancel()

    storage = Storage(transport=transport, sites=Sites(legacy=LEGACY), clock=FakeClock(), wait=wait)
    with pytest.raises(ClientGone):
        storage.await_read(account, "f1", gone, is_image=False)
    assert len(transport.requests) == 2


@BOTH
def test_the_pause_itself_ends_when_the_client_leaves(account: Account) -> None:
    """As it is built for real: the client is gone before the first pause, which is not waited out."""
    gone = Cancellation()

    def respond(_request: HttpRequest) -> Reply:
        gone.cancel()
        return progress(account, "parsing")

    transport = FakeTransport(respond)
    storage = Storage(transport=transport, sites=Sites(legacy=LEGACY))
    with pytest.raises(ClientGone):
        storage.await_read(account, "f1", gone, is_image=False)
    assert len(transport.requests) == 1


@BOTH
def test_nothing_is_asked_for_a_client_that_has_left(account: Account) -> None:
    """There is nobody to wait."""
    storage, transport, _ = stored(lambda _: progress(account, "parsed"))
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(ClientGone):
        storage.await_read(account, "f1", gone, is_image=False)
    assert transport.requests == []


# --- The stream of the legacy site ------------------------------------------------------------------------------


def told(status: str, file_id: str = "f1", **info: object) -> dict[str, object]:
    """An event of the stream."""
    return {"event": "resp", "id": file_id, "status": status, "file_info": {"id": file_id, **info}}


def outcome(chunks: Iterable[bytes]) -> tuple[str, int]:
    """What comes of a stream that was cut so, whose file is not read until it is asked about again."""
    first = Streamed([chunk for chunk in chunks if chunk], 200, EVENT_STREAM)
    storage, transport, _ = stored(in_turn(first, progress(REST, "failed", "the second answer")))
    try:
        storage.await_read(REST, "f1", Cancellation(), is_image=False)
    except GatewayError as error:
        return error.message, len(transport.requests)
    finally:
        assert transport.open == 0
    return "read", len(transport.requests)


SECOND: Final = ("Kimi cannot read the file: the second answer", 2)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([told("parsing"), told("parsing"), told("parsed", failed_reason="")], ("read", 1)),
        ([told("parsed", "f2"), {"event": "ping"}, told("parsed")], ("read", 1)),
        ([told("parsing"), told("failed", failed_reason="锁")], ("Kimi cannot read the file: 锁", 1)),
        ([told("failed")], ("Kimi cannot read the file.", 1)),
        ([told("parsed"), told("failed", failed_reason="never")], ("read", 1)),
        ([told("parsed"), {"event": "done", "id": "f1"}], ("read", 1)),
        ([told("failed", failed_reason="锁"), told("parsing")], ("Kimi cannot read the file: 锁", 1)),
        ([told("parsing")], SECOND),
        ([told("parsed", "f2"), {"event": "all_done"}], SECOND),
        ([], SECOND),
    ],
    ids=[
        "read",
        "among others",
        "refused",
        "without a reason",
        "refused too late",
        "done behind it",
        "reading behind it",
        "not yet",
        "another one",
        "silent",
    ],
)
def test_the_stream_says_the_same_in_any_cut(events: Sequence[object], expected: tuple[str, int]) -> None:
    """What came first of all that ends the wait counts, however the network cuts what follows."""
    assert drip(outcome, lines(*events), count=20, small=1000) == expected


@pytest.mark.parametrize("trailing", [lines(told("failed", failed_reason="never")), b"data: {broken", b"x" * 500])
def test_nothing_behind_the_end_counts(trailing: bytes) -> None:
    """It is not even read."""
    data = lines(told("parsing"), told("parsed"))
    assert drip(outcome, data, trailing=trailing, count=20) == ("read", 1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_stream_has_any_line_ends(end: str) -> None:
    """And comments, and lines of other fields."""
    rows = [": keep-alive", "", "event: resp", "data: " + json.dumps(told("parsed")), "", ""]
    assert drip(outcome, end.join(rows).encode(), count=20) == ("read", 1)


def test_a_stream_that_has_said_all_is_not_waited_for() -> None:
    """It may stay open for as long as it likes."""
    storage, transport, _ = stored(lambda _: Streamed([lines(told("parsed")), LATE], 200, EVENT_STREAM))
    storage.await_read(REST, "f1", Cancellation(), is_image=False)
    assert transport.open == 0


@pytest.mark.parametrize("behind", [[{"event": "ping"}, told("failed", "f2")], [told("parsing")]])
def test_an_image_that_is_there_stays_there(behind: list[object]) -> None:
    """Whatever else the stream tells."""
    storage, _, waiting = stored(lambda _: sse(told("initialized"), *behind))
    storage.await_read(REST, "f1", Cancellation(), is_image=True)
    assert waiting.pauses == []


@pytest.mark.parametrize("status", ["initialized", "parsing"])
def test_a_stream_is_not_heard_out_for_an_image_that_is_there(status: str) -> None:
    """The site may hold it open until the image is read."""
    storage, transport, _ = stored(lambda _: Streamed([lines(told(status)), LATE], 200, EVENT_STREAM))
    storage.await_read(REST, "f1", Cancellation(), is_image=True)
    assert transport.open == 0


class Slow(Sequence[bytes]):
    """Chunks each of which takes ten seconds to come; `given` are those that were waited for."""

    def __init__(self, chunks: Sequence[bytes], clock: FakeClock) -> None:
        self.given = 0
        self._chunks = chunks
        self._clock = clock

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 # as Sequence has it
        chunk = self._chunks[index]
        self._clock.advance(10)
        self.given += 1
        return chunk


def test_a_stream_does_not_outlast_the_deadline() -> None:
    """Also while it keeps telling that the file is being read."""
    chunks: list[Slow] = []
    storage, transport, waiting = stored(lambda _: Streamed(chunks[0], 200, EVENT_STREAM))
    chunks.append(Slow([lines(told("parsing"))] * 50, waiting.clock))
    with pytest.raises(UpstreamTimeout):
        storage.await_read(REST, "f1", Cancellation(), is_image=False, within=25)
    assert chunks[0].given == 3
    waits = [wait or float("inf") for wait in transport.streams[0].waits]
    assert [wait <= left for wait, left in zip(waits, (25, 15, 5), strict=True)] == [True] * 3
    assert transport.open == 0


def test_a_stream_that_falls_silent_is_asked_for_once_more() -> None:
    """As long as there is time; then the wait is over as any other."""
    silent = Streamed([lines(told("parsing")), LATE], 200, EVENT_STREAM)
    storage, transport, waiting = stored(in_turn(silent, progress(REST, "parsed")))
    storage.await_read(REST, "f1", Cancellation(), is_image=False)
    assert waiting.pauses == [0.2]
    storage, _, _ = stored(lambda _: silent)
    with pytest.raises(UpstreamTimeout) as caught:
        storage.await_read(REST, "f1", Cancellation(), is_image=False, within=1)
    assert caught.value.message == "Kimi has not read the file within 1 s."
    assert transport.open == 0


@pytest.mark.parametrize("error", [DOWN, ClientGone("gone")])
def test_a_stream_that_fails_says_so(error: GatewayError) -> None:
    """What it said of the file before is not its last word."""
    storage, transport, _ = stored(lambda _: Streamed([lines(told("parsing")), error], 200, EVENT_STREAM))
    with pytest.raises(type(error)):
        storage.await_read(REST, "f1", Cancellation(), is_image=False)
    assert transport.open == 0
