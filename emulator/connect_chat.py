"""The Chat call: from a request to a stream of frames."""

import base64
from collections.abc import Callable, Iterable

from emulator.accounts import Account
from emulator.answers import AT_THE_DOOR, Answer, KimiError
from emulator.chats import GENERATING, Message
from emulator.connect_events import Events
from emulator.connect_frames import STREAM_TYPE, FrameWriter
from emulator.connect_request import ChatRequest, open_turn, read_chat_request
from emulator.connect_turn import ConnectTurn
from emulator.context import in_context
from emulator.defaults import default_answer, with_text
from emulator.exchange import JSON_TYPE, Reply, Request, json_reply
from emulator.faults import faulty_stream, plain_answer, preamble
from emulator.rpc import STREAM_HEADERS, RpcError, spent
from emulator.site import Site
from emulator.steps import Pause, Send, Steps, pause
from emulator.values import Json, child, integer, number, text

BUSY = "another answer is still being written"
_TOO_LONG = KimiError("invalid_argument", "REASON_TOKEN_LENGTH_TOO_LONG", "the message is too long")
"""The legacy site's error in Connect's words (captures/09); here it was never captured."""


def chat(request: Request, account: Account, site: Site) -> Reply:
    """Answer one Chat call of an account that has been let in."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != STREAM_TYPE:
        # Connect's own rule for a codec that a streaming call does not speak.
        return json_reply(415, {}, (("accept-post", STREAM_TYPE),))
    try:
        wanted = read_chat_request(request.body, account, site)
    except RpcError as error:
        return error.trailer()
    if site.uploads.order.too_long(wanted.user_text):
        return _refusal(Answer(), _TOO_LONG)
    if account.state == "spent":
        return _refusal(Answer(), spent(account).error)
    if account.running >= account.max_streams:
        return RpcError("resource_exhausted", BUSY).trailer()
    default = default_answer(wanted.user_text, thinking=wanted.thinking, search=wanted.search)
    planned = site.plan.take(account.name)
    answer = default if planned is None else with_text(planned, default)
    return plain_answer(answer, JSON_TYPE) or _stream(request, wanted, account, site, answer)


def _stream(request: Request, wanted: ChatRequest, account: Account, site: Site, answer: Answer) -> Reply:
    refused = _refused_at_the_door(answer)
    if refused is not None:
        return _refusal(answer, refused)
    turn = open_turn(wanted, account, site.chats, _ids_in(answer.frames or ()))
    answer = in_context(answer, turn.chat.path(turn.user), account.name, site.files)
    events = Events(FrameWriter(compress=answer.faults.compressed_gzip))
    account.running += 1
    turn.chat.running.append(request.line)

    def on_close() -> None:
        account.running -= 1
        turn.chat.running.remove(request.line)
        if turn.assistant.status == GENERATING:
            turn.assistant.status = "MESSAGE_STATUS_UNSPECIFIED"

    composed = ConnectTurn(turn, answer, events)
    if answer.frames is None:
        steps = composed.steps()
    else:
        writer = FrameWriter(compress=answer.faults.compressed_gzip)
        steps = _verbatim(answer.frames, answer.delay, writer, turn.assistant)
    return _reply(answer, events, steps, composed.cancelled, on_close)


def _refusal(answer: Answer, error: KimiError) -> Reply:
    """Refuse before a chat is opened, as an overloaded site does: a heartbeat, then the trailer."""
    events = Events(FrameWriter(compress=answer.faults.compressed_gzip))
    return _reply(answer, events, iter((events.heartbeat(), events.end(error))))


def _nothing() -> list[Send]:
    return []


def _reply(
    answer: Answer,
    events: Events,
    steps: Steps,
    on_cancel: Callable[[], Iterable[Send]] = _nothing,
    on_close: Callable[[], object] = _nothing,
) -> Reply:
    encoding = (("connect-content-encoding", "gzip"),) if answer.faults.compressed_gzip else ()
    return Reply(
        answer.status or 200,
        answer.content_type or STREAM_TYPE,
        faulty_stream(steps, answer, events.heartbeat),
        headers=(*STREAM_HEADERS, *encoding, *answer.headers),
        before=preamble(answer),
        on_cancel=on_cancel,
        on_close=on_close,
    )


def _refused_at_the_door(answer: Answer) -> KimiError | None:
    """Give the error of an answer that is refused before its chat is even opened."""
    faults = answer.faults
    if faults.stream_pushing:
        return KimiError("resource_exhausted", message=BUSY)
    for error in (faults.overload_trailer, faults.error_trailer):
        if error is not None and error.after_text == AT_THE_DOOR:
            return error
    return None


def _verbatim(frames: tuple[Json, ...], delay: float, writer: FrameWriter, assistant: Message) -> Steps:
    """Replay planned frames; `_sleep`, `_raw` and `_frame_flags` are instructions to us."""
    for planned in frames:
        if "_sleep" in planned:
            yield Pause(number(planned, "_sleep"))
        elif "_raw" in planned:
            yield Send(base64.b64decode(text(planned, "_raw")))
        elif "_frame_flags" in planned:
            yield writer.send(child(planned, "_payload"), integer(planned, "_frame_flags"))
        else:
            _absorb(planned, assistant)
            yield writer.send(planned)
        yield from pause(delay)


def _absorb(event: Json, assistant: Message) -> None:
    """Keep the chat's own record in step with what a replay says.

    A replay may hold any shape on purpose, so only what is well-formed is taken.
    """
    block, message = event.get("block"), event.get("message")
    if isinstance(block, dict) and isinstance(block.get("text"), dict):
        assistant.text += str(block["text"].get("content") or "")
    if isinstance(message, dict) and event.get("mask") == "message.status":
        assistant.status = str(message.get("status"))


def _ids_in(frames: tuple[Json, ...]) -> tuple[str, str]:
    """Find the ids of the chat and of the assistant's message in a replay.

    The emulator adopts them, so that a client can go on to continue or delete the replayed chat.
    """
    chat_id = message_id = ""
    for event in frames:
        chat_part, message = event.get("chat"), event.get("message")
        if isinstance(chat_part, dict) and not chat_id:
            chat_id = str(chat_part.get("id") or "")
        if isinstance(message, dict) and message.get("role") == "assistant":
            message_id = str(message.get("id") or "")
    return chat_id, message_id
