"""One completion of the legacy site: from a request to a stream of SSE lines (A4, A5)."""

from collections.abc import Iterator
from dataclasses import dataclass

from emulator import legacy_events, legacy_files
from emulator.accounts import Account
from emulator.answers import AFTER_ALL, Answer, LegacyError
from emulator.chats import COMPLETED, GENERATING, Chat, Message
from emulator.context import in_context
from emulator.defaults import default_answer, with_text
from emulator.exchange import JSON_TYPE, Reply, Request, json_reply
from emulator.faults import faulty_stream, plain_answer, preamble
from emulator.files import StoredFile
from emulator.identifiers import xid
from emulator.legacy_errors import NOT_FOUND, PUSHING, TOO_LONG, LegacyRefusal
from emulator.rpc import spent
from emulator.site import Site
from emulator.steps import Send, Step, Steps, pause
from emulator.values import Json, as_objects, flag, text

_THINKING_AGENT = "crm40ee9e5jvhsn7ptcg"


@dataclass(frozen=True)
class LegacyTurn:
    """What one completion works on: the chat, the answer's message, the id of its req event.

    `text` is what this segment says, `rest` the segments that wait for action continue, `refs` the
    ids of the files.
    """

    chat: Chat
    message: Message
    segment_id: str
    question: str
    text: str
    rest: list[str]
    refs: list[str]


def completion(request: Request, wanted: Json, account: Account, chat: Chat, site: Site) -> Reply:
    """Answer one POST to completion/stream; raises `LegacyRefusal`."""
    if account.state == "spent":
        # A6 knows no error_type for it, but that late answers may have the Connect site's shape.
        return spent(account).unary()
    if chat.running or account.running >= account.max_streams:
        raise LegacyRefusal(400, PUSHING)
    if text(wanted, "action") == "continue":
        turn = _continued(wanted, chat)
        return _stream(request, account, turn, Answer(text=turn.text))
    question, files = _question(wanted), legacy_files.referred(wanted, account, site)
    if site.uploads.order.too_long(question):
        return _too_long()
    if flag(wanted, "use_research"):
        account.research_remaining = max(0, account.research_remaining - 1)
    default = default_answer(question, thinking=_thinks(wanted), search=flag(wanted, "use_search"))
    planned = site.plan.take(account.name)
    answer = default if planned is None else with_text(planned, default)
    error = answer.faults.legacy_error
    if answer.faults.stream_pushing:
        raise LegacyRefusal(400, PUSHING)
    if error is not None and error.status is not None:
        return json_reply(error.status, error.as_json())
    plain = plain_answer(answer, JSON_TYPE)
    if plain is not None:
        return plain
    asked = _asked(chat, question, files)
    answer = in_context(answer, chat.messages, account.name, site.files)
    return _stream(request, account, _begun(chat, asked, answer), answer)


def _too_long() -> Reply:
    """Refuse a question for its length, inside a stream and before the chat knows of it (captures/09)."""
    events = (legacy_events.failure(TOO_LONG), legacy_events.event("all_done"))
    return Reply(200, legacy_events.STREAM_TYPE, events, headers=(("cache-control", "no-cache"),))


def _thinks(wanted: Json) -> bool:
    """Tell the k1 models and the k1 agent from the rest (A3, A4)."""
    named = text(wanted, "model").startswith("k1")
    return named or text(wanted, "kimiplus_id") == _THINKING_AGENT


def _question(wanted: Json) -> str:
    """Give the one new user message; the server keeps the history itself (A4)."""
    messages = as_objects(wanted.get("messages"), "messages")
    asked = [text(item, "content") for item in messages if item.get("role") == "user"]
    if not asked:
        raise LegacyRefusal(400, LegacyError("internal.error", "messages holds no user message"))
    return asked[-1]


def _asked(chat: Chat, question: str, files: list[StoredFile]) -> Message:
    for file in files:
        file.used += 1
    parent = chat.messages[-1].id if chat.messages else ""
    asked = Message(xid(), parent, "user", question, files=[file.id for file in files])
    chat.messages.append(asked)
    return asked


def _begun(chat: Chat, asked: Message, answer: Answer) -> LegacyTurn:
    message = Message(xid(), asked.id, "assistant", "", GENERATING)
    chat.messages.append(message)
    first, *rest = answer.segments or (answer.text or "",)
    return LegacyTurn(chat, message, asked.id, asked.text, first, rest, asked.files)


def _continued(wanted: Json, chat: Chat) -> LegacyTurn:
    """Go on after `length`; segment_id must be the id of the req event (A4, from L1)."""
    segment_id = text(wanted, "segment_id")
    waiting = chat.segments.pop(segment_id, None)
    if not waiting:
        raise LegacyRefusal(404, NOT_FOUND)
    first, *rest = waiting
    return LegacyTurn(chat, chat.tip(), segment_id, "", first, rest, [])


def _stream(request: Request, account: Account, turn: LegacyTurn, answer: Answer) -> Reply:
    account.running += 1
    turn.chat.running.append(request.line)

    def on_close() -> None:
        account.running -= 1
        turn.chat.running.remove(request.line)

    steps = _composed(turn, answer) if answer.lines is None else _verbatim(answer)
    return Reply(
        answer.status or 200,
        answer.content_type or legacy_events.STREAM_TYPE,
        faulty_stream(steps, answer, legacy_events.keep_alive),
        headers=(("cache-control", "no-cache"), *answer.headers),
        before=preamble(answer),
        on_close=on_close,
    )


def _verbatim(answer: Answer) -> Steps:
    for line in answer.lines or ():
        yield Send(line.encode() + b"\n")
        yield from pause(answer.delay)


def _composed(turn: LegacyTurn, answer: Answer) -> Steps:
    faults = answer.faults
    yield from legacy_events.opening(turn.segment_id, turn.question, turn.refs, search=bool(answer.search))
    for send in _body(turn, answer):
        yield send
        yield from pause(answer.delay)
    if faults.legacy_error is not None:
        yield legacy_events.failure(faults.legacy_error)
    else:
        yield from _ending(turn)
    if not faults.no_trailer:
        yield legacy_events.event("all_done")


def _body(turn: LegacyTurn, answer: Answer) -> Iterator[Send]:
    faults = answer.faults
    if faults.empty:
        return
    if answer.search:
        yield from legacy_events.search(answer.search)
    yield from legacy_events.thinking(answer)
    limit = faults.legacy_error.after_text if faults.legacy_error else AFTER_ALL
    for send, piece in legacy_events.words(answer, turn.text, limit):
        turn.message.text += piece
        yield send
    if faults.unknown_mask or faults.unknown_op or faults.unknown_block:
        yield legacy_events.event("hologram", text="must not be shown")
    if faults.oversize_frame is not None:
        yield legacy_events.event("cmpl", text="x" * faults.oversize_frame)


def _ending(turn: LegacyTurn) -> Iterator[Step]:
    if turn.rest:
        turn.chat.segments[turn.segment_id] = turn.rest
        yield legacy_events.event("length")
    turn.message.status = COMPLETED
    yield legacy_events.event("done")
