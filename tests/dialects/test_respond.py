"""From events to an HTTP answer: status, grace, keep-alives, in-band failure, hang-up."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Response

from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    PromptMoved,
    Served,
    Source,
    TextDelta,
    ThinkingDelta,
    Usage,
    Warned,
)
from app.dialects.openai_chat.encoder import DONE, ChatEncoder
from app.dialects.respond import MAX_WARNINGS, Pace, respond
from app.errors import GatewayError, RateLimitExceeded, UpstreamTimeout, UpstreamTruncated
from app.observability.record import RequestRecord
from tests.dialects.answers import Answer

KEEP_ALIVE = b": keep-alive\n\n"
SOON = 10.0
WHOLE = (Served("account", 0.0), Opened("chat-1"), TextDelta("hello"), Usage(1, 2, 3), Finished())


@dataclass
class Door:
    """One request at a door; grace and keep-alive are long unless a test is about them."""

    answer: Answer = field(default_factory=Answer)
    grace: float = SOON
    keepalive: float = SOON
    whole_answer: float | None = None
    environ: dict[str, object] = field(default_factory=dict)
    record: RequestRecord = field(default_factory=lambda: RequestRecord("id-1"))
    breaks_off: bool = False

    def __call__(self, *, stream: bool = True) -> Response:
        encoder = ChatEncoder(identity="id-1", model="kimi", created=1, use_conversation_id=False, include_usage=False)
        pace = Pace(self.grace, self.keepalive, self.whole_answer)
        return respond(
            self.answer,
            encoder,
            stream=stream,
            pace=pace,
            environ=self.environ,
            record=self.record,
            breaks_off=self.breaks_off,
        )


def body(response: Response) -> Iterator[bytes]:
    """The writes of a response."""
    for write in response.response:
        assert isinstance(write, bytes)
        yield write


def error_in(data: bytes) -> object:
    """The code of an in-band error."""
    return json.loads(data.removeprefix(b"data: "))["error"]["code"]


def test_a_stream_is_written_as_it_comes() -> None:
    """Each write holds what came in the meantime."""
    door = Door()
    door.answer.say(TextDelta("a"))
    writes = body(door())
    assert b'"content":"a"' in next(writes)
    door.answer.say(TextDelta("b"))
    assert b'"content":"b"' in next(writes)
    door.answer.say(Finished())
    assert next(writes).endswith(DONE)
    assert list(writes) == []


def test_a_stream_has_the_headers_of_the_contract() -> None:
    """No proxy may hold it back."""
    door = Door()
    door.answer.say(*WHOLE)
    response = door()
    headers = response.headers
    response.close()
    assert response.status_code == 200
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers


@pytest.mark.parametrize(
    "before",
    [
        (),
        (Served("account", 0.0),),
        (Opened("chat-1"),),
        (Served("account", 0.0), Opened("chat-1"), Source("https://a.example/", "A")),
        (PromptMoved(), Served("account", 0.0)),
        (Warned("coerced:limit"),),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_early_error_has_its_true_status(before: tuple[Event, ...], *, stream: bool) -> None:
    """It is raised, and becomes a status further out."""
    door = Door()
    door.answer.say(*before, Failed(RateLimitExceeded("no")))
    with pytest.raises(RateLimitExceeded):
        door(stream=stream)
    assert door.answer.closed.wait(SOON)


@pytest.mark.parametrize("word", [TextDelta("a"), ThinkingDelta("a")])
def test_an_error_after_the_first_word_is_told_in_the_stream(word: Event) -> None:
    """No mark of success follows it."""
    door = Door()
    door.answer.say(Opened("chat-1"), word)
    writes = body(door())
    next(writes)
    door.answer.say(Failed(RateLimitExceeded("no")))
    rest = list(writes)
    assert [error_in(data) for data in rest] == ["rate_limit_exceeded"]


def test_an_error_in_the_same_read_as_the_first_word_is_told_in_the_stream() -> None:
    """The word goes out before it."""
    door = Door()
    door.answer.say(TextDelta("a"), Failed(RateLimitExceeded("no")))
    (data,) = body(door())
    assert b'"content":"a"' in data
    assert DONE not in data


def test_the_headers_go_out_when_the_grace_time_ends() -> None:
    """With a keep-alive at once, because the client has waited for them."""
    door = Door(grace=0.05)
    began = time.monotonic()
    response = door()
    assert 0.05 <= time.monotonic() - began < SOON / 2
    assert next(body(response)) == KEEP_ALIVE
    response.close()


def test_an_answer_that_comes_after_the_grace_time_is_whole() -> None:
    """Silence at the beginning loses nothing."""
    door = Door(grace=0.02)
    writes = body(door())
    assert next(writes) == KEEP_ALIVE
    door.answer.say(*WHOLE)
    rest = b"".join(writes)
    assert b'"content":"hello"' in rest
    assert rest.endswith(DONE)


def test_without_a_grace_time_the_headers_go_out_at_once() -> None:
    """GRACE_SECONDS=0."""
    door = Door(grace=0)
    writes = body(door())
    assert next(writes) == KEEP_ALIVE
    door.answer.say(*WHOLE)
    assert b"".join(writes).endswith(DONE)


def test_an_error_after_the_grace_time_is_told_in_the_stream() -> None:
    """The status is out."""
    door = Door(grace=0.02)
    writes = body(door())
    next(writes)
    door.answer.say(Failed(UpstreamTimeout("no")))
    assert [error_in(data) for data in writes] == ["upstream_timeout"]


def test_silence_is_filled_with_keep_alives() -> None:
    """Again and again, until there is something to say."""
    door = Door(keepalive=0.02)
    door.answer.say(TextDelta("a"))
    writes = body(door())
    next(writes)
    assert [next(writes) for _ in range(3)] == [KEEP_ALIVE] * 3
    door.answer.say(Finished())
    assert list(writes)[-1].endswith(DONE)


def test_events_that_say_nothing_do_not_silence_the_keep_alives() -> None:
    """Usage has no words in a stream of this dialect."""
    door = Door(keepalive=0.1)
    door.answer.say(TextDelta("a"))
    writes = body(door())
    next(writes)
    door.answer.say(Usage(1, 1, 1))
    began = time.monotonic()
    assert next(writes) == KEEP_ALIVE
    assert time.monotonic() - began < SOON / 2
    door.answer.end()


@pytest.mark.parametrize("grace", [0.0, SOON])
def test_a_stream_without_its_end_mark_is_a_failure(grace: float) -> None:
    """Never a quiet stop."""
    door = Door(grace=grace)
    door.answer.say(TextDelta("a")).end()
    data = b"".join(body(door()))
    assert b"upstream_truncated" in data
    assert DONE not in data


def test_an_answer_without_anything_is_a_failure_with_a_status() -> None:
    """Also where nothing was said."""
    door = Door()
    door.answer.say(Opened("chat-1")).end()
    with pytest.raises(UpstreamTruncated):
        door()


def test_a_response_that_is_closed_ends_the_answer() -> None:
    """A server closes it when the client has left."""
    door = Door()
    door.answer.say(TextDelta("a"))
    response = door()
    next(body(response))
    response.close()
    assert door.answer.closed.wait(SOON)


def test_a_response_that_is_closed_before_it_began_ends_the_answer() -> None:
    """A generator would not even notice."""
    door = Door()
    door.answer.say(TextDelta("a"))
    door().close()
    assert door.answer.closed.wait(SOON)


@pytest.mark.parametrize("said", [(), (TextDelta("a"),)], ids=["in the grace time", "in the stream"])
def test_a_client_that_hangs_up_ends_a_silent_answer(said: tuple[Event, ...]) -> None:
    """Nothing is written to it that could fail."""
    server, client = socket.socketpair()
    door = Door(environ={"gunicorn.socket": server}, grace=0.05)
    if said:
        door.answer.say(*said)
    with server:
        response = door()
        client.close()
        assert door.answer.closed.wait(SOON)
        response.close()


def test_a_client_that_hangs_up_ends_a_whole_answer() -> None:
    """Within the second that the contract gives."""
    server, client = socket.socketpair()
    door = Door(environ={"gunicorn.socket": server})
    with server:
        client.close()
        with pytest.raises(GatewayError):
            door(stream=False)
    assert door.answer.closed.wait(SOON)


def test_a_whole_answer_is_one_object() -> None:
    """The same stream, folded."""
    door = Door()
    door.answer.say(*WHOLE[:2])
    door.answer.say(*WHOLE[2:])
    response = door(stream=False)
    answer = response.get_json()
    assert answer["choices"][0]["message"]["content"] == "hello"
    assert answer["usage"]["total_tokens"] == 6
    assert response.headers["Content-Type"] == "application/json"


def test_a_whole_answer_that_fails_late_still_has_its_status() -> None:
    """Nothing was sent yet."""
    door = Door()
    door.answer.say(TextDelta("a"))
    door.answer.say(Failed(RateLimitExceeded("no")))
    with pytest.raises(RateLimitExceeded):
        door(stream=False)


def test_a_whole_answer_without_its_end_mark_is_a_failure() -> None:
    """Never half an answer."""
    door = Door()
    door.answer.say(TextDelta("a")).end()
    with pytest.raises(UpstreamTruncated):
        door(stream=False)


def test_a_whole_answer_has_a_time_limit() -> None:
    """WHOLE_ANSWER_TIMEOUT, also while words keep coming; the answer ends with it."""
    door = Door(whole_answer=0.05)
    door.answer.say(TextDelta("a"))
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        door(stream=False)
    assert 0.05 <= time.monotonic() - began < SOON / 2
    assert door.answer.closed.wait(SOON)


def test_the_time_limit_of_whole_answers_does_not_end_streams() -> None:
    """A client sees those go on."""
    door = Door(whole_answer=0.02)
    door.answer.say(TextDelta("a"))
    writes = body(door())
    next(writes)
    time.sleep(0.05)
    door.answer.say(Finished())
    assert b"".join(writes).endswith(DONE)


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_was_moved_is_told_in_a_header(*, stream: bool) -> None:
    """Before the first word, and wherever it stands among what a client does not see."""
    for before in ([(PromptMoved(),)], [(Served("account", 0.0),), (PromptMoved(), Opened("chat-1"))]):
        door = Door()
        for events in before:
            door.answer.say(*events)
        door.answer.say(*WHOLE)
        response = door(stream=stream)
        assert [response.headers["x-prompt"], response.headers["x-usage"]] == ["file", "estimated"]
        assert b"hello" in b"".join(body(response))
        response.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_was_not_moved_is_not_told_of(*, stream: bool) -> None:
    """No header is better than one that says no."""
    door = Door()
    door.answer.say(*WHOLE)
    response = door(stream=stream)
    assert "x-prompt" not in response.headers
    assert response.headers["x-usage"] == "estimated"
    response.close()


def test_a_moved_prompt_is_no_word() -> None:
    """The status is held on: what comes next may be an error."""
    door = Door(grace=0.05)
    door.answer.say(PromptMoved())
    began = time.monotonic()
    response = door()
    assert time.monotonic() - began >= 0.05
    assert response.headers["x-prompt"] == "file"
    assert next(body(response)) == KEEP_ALIVE
    response.close()


def test_a_prompt_that_is_moved_after_the_headers_is_answered_all_the_same() -> None:
    """It says nothing in the stream, and breaks nothing."""
    door = Door(grace=0.02, keepalive=SOON)
    response = door()
    writes = body(response)
    assert next(writes) == KEEP_ALIVE
    door.answer.say(PromptMoved())
    door.answer.say(*WHOLE)
    rest = b"".join(writes)
    assert "x-prompt" not in response.headers
    assert b'"content":"hello"' in rest
    assert rest.endswith(DONE)


@pytest.mark.parametrize("stream", [True, False])
def test_warnings_are_told_in_a_header(*, stream: bool) -> None:
    """Each once, in the order in which they came, beside what the headers tell otherwise."""
    door = Door()
    door.answer.say(Warned("b"), PromptMoved(), Warned("coerced:limit"))
    door.answer.say(Warned("a"), Warned("b"))
    door.answer.say(*WHOLE)
    response = door(stream=stream)
    told = [response.headers[name] for name in ("x-warnings", "x-prompt", "x-usage")]
    assert told == ["b, coerced:limit, a", "file", "estimated"]
    assert b"coerced" not in b"".join(body(response))
    response.close()


def test_a_whole_answer_tells_also_of_late_warnings() -> None:
    """Its headers go out at the end."""
    door = Door()
    door.answer.say(Warned("early"), TextDelta("a"))
    door.answer.say(Warned("late"))
    door.answer.say(Finished())
    assert door(stream=False).headers["x-warnings"] == "early, late"


def test_a_stream_tells_of_early_warnings_only() -> None:
    """Its headers are out when the first word is; a late one says nothing in it, and breaks nothing."""
    door = Door()
    door.answer.say(Warned("early"), TextDelta("a"))
    response = door()
    door.answer.say(Warned("late"), Finished())
    data = b"".join(body(response))
    assert response.headers["x-warnings"] == "early"
    assert b"late" not in data
    assert data.endswith(DONE)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_warnings_has_no_header_for_them(*, stream: bool) -> None:
    """An empty one would say nothing."""
    door = Door()
    door.answer.say(*WHOLE)
    response = door(stream=stream)
    assert "x-warnings" not in response.headers
    response.close()


@pytest.mark.parametrize("stream", [True, False])
def test_the_header_of_warnings_has_its_limit(*, stream: bool) -> None:
    """No word of it is cut in two."""
    words = [f"unknown_tool:{number:03}" for number in range(100)]
    door = Door()
    door.answer.say(*map(Warned, words), *WHOLE)
    response = door(stream=stream)
    told = response.headers["x-warnings"]
    assert MAX_WARNINGS - len(words[0]) - 2 < len(told) <= MAX_WARNINGS
    assert told.split(", ") == words[: told.count(",") + 1]
    response.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_crash_is_an_internal_error(*, stream: bool) -> None:
    """With a status, if nothing was sent."""
    door = Door()
    door.answer.crash(ValueError("secret"))
    with pytest.raises(GatewayError) as caught:
        door(stream=stream)
    assert caught.value.code == "internal_error"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("stream", [True, False])
def test_the_record_sees_all_events(*, stream: bool) -> None:
    """The log line tells usage and the first word."""
    door = Door()
    door.answer.say(*WHOLE)
    response = door(stream=stream)
    b"".join(body(response))
    assert door.record.usage == Usage(1, 2, 3)
    assert door.record.first_word is not None


def test_a_word_of_the_header_is_fit_for_it() -> None:
    """A tool and its arguments may have any name, and a model may make up others."""
    door = Door()
    door.answer.say(Warned("coerced:\u57ce\u5e02\r\nSet-Cookie: a,b"), *WHOLE)
    assert door(stream=False).headers["x-warnings"] == "coerced:????Set-Cookie:?a?b"


@pytest.mark.parametrize(
    ("breaks_off", "last", "broken"),
    [
        (True, Failed(RateLimitExceeded("no")), True),
        (True, Finished(), False),
        (False, Failed(RateLimitExceeded("no")), False),
    ],
)
def test_a_connection_is_broken_off_behind_an_error_where_no_end_would_do(
    last: Event, *, breaks_off: bool, broken: bool
) -> None:
    """Not before the error has been written: the server asks for more only then."""
    server, client = socket.socketpair()
    with server, client:
        door = Door(environ={"gunicorn.socket": server}, breaks_off=breaks_off)
        door.answer.say(TextDelta("a"))
        response = door()
        writes = body(response)
        next(writes)
        door.answer.say(last)
        server.sendall(next(writes))
        assert list(writes) == []
        response.close()
        client.settimeout(0)
        said = client.recv(10_000)
        assert (b"error" in said) == isinstance(last, Failed)
        if broken:
            assert client.recv(1) == b""
        else:
            with pytest.raises(BlockingIOError):
                client.recv(1)
