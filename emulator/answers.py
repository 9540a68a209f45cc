"""What a test may order: one answer to one completion request, with its faults.

The README holds the same fields as a table. Reading is strict: an unknown or mistyped key is
refused, since a fault that is never played would make its test pass for no reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from emulator.act import Act, read_act
from emulator.values import (
    Json,
    Malformed,
    as_object,
    as_objects,
    as_texts,
    flag,
    integer,
    number,
    refuse_unknown,
    text,
)

AT_THE_DOOR = -1
"""A position in the text: before the chat is even opened."""
AFTER_ALL = 1 << 60
"""A position in the text: behind its last character."""

OVERLOAD_REASON = "REASON_SERVER_OVERLOADED_FOR_FREE_USER"
OVERLOAD_MESSAGE = "Too many people are chatting with Kimi right now."


@dataclass(frozen=True)
class KimiError:
    """An error as B9 shapes it. It comes after `after_text` characters of the answer."""

    code: str
    reason: str = ""
    message: str = ""
    paywall: Json | None = None
    severity: str = "SEVERITY_BLOCK_RETRACT"
    after_text: int = 0
    reset_time: str = ""

    def as_json(self) -> Json:
        """Give the error object of trailers and unary answers; empty parts are left out."""
        debug: Json = {}
        if self.reason:
            debug["reason"] = self.reason
        if self.message:
            debug["localizedMessage"] = {"locale": "en-US", "message": self.message}
        if self.paywall is not None:
            debug["paywall"] = self.paywall
        if self.reset_time:
            debug["resetTime"] = self.reset_time
        answer: Json = {"code": self.code}
        if self.message:
            answer["message"] = self.message
        if debug:
            answer["details"] = [{"debug": debug}]
        return answer


OVERLOADED = KimiError("resource_exhausted", OVERLOAD_REASON, OVERLOAD_MESSAGE, after_text=AT_THE_DOOR)
EXCEPTION = KimiError("", "REASON_COMPLETION_OVERLOADED", "Kimi is a little tired now.")
INTERNAL = KimiError("internal", "", "something broke after the answer")


@dataclass(frozen=True)
class LegacyError:
    """An error of the legacy site (A6): in the stream, or with a `status` as plain JSON."""

    error_type: str
    message: str
    detail: str = ""
    status: int | None = None
    after_text: int = 0

    def as_json(self) -> Json:
        """Give the object with error_type, message and, when there is one, detail."""
        answer: Json = {"error_type": self.error_type, "message": self.message}
        if self.detail:
            answer["detail"] = self.detail
        return answer


@dataclass(frozen=True)
class Faults:
    """What goes wrong with an answer. All off by default; see the README for each."""

    overload_trailer: KimiError | None = None
    error_trailer: KimiError | None = None
    error_frame: KimiError | None = None
    exception_block: KimiError | None = None
    error_after_done: KimiError | None = None
    legacy_error: LegacyError | None = None
    json_error: tuple[int, object] | None = None
    degrade_notice: bool = False
    no_trailer: bool = False
    compressed_bit: bool = False
    compressed_gzip: bool = False
    unknown_mask: bool = False
    unknown_op: bool = False
    unknown_block: bool = False
    stall_headers: bool = False
    empty: bool = False
    html: bool = False
    stream_pushing: bool = False
    ask_user: bool = False
    native_tool: bool = False
    cut: Literal["fin", "rst"] = "fin"
    cut_after: int | None = None
    stall_after: int | None = None
    oversize_frame: int | None = None
    heartbeat_every: float = 0.0
    drip: float = 0.0
    status_value: str = "MESSAGE_STATUS_COMPLETED"


@dataclass(frozen=True)
class Answer:
    """One answer. `delay`, `first_delay` and `silent_after_headers` are seconds.

    `text` None asks for the default text. `frames` and `lines` replace the composed stream;
    `echo_context` makes its text a digest of what the chat holds, `act` what a model does that has
    read it; `status` makes it a plain HTTP answer. `piece` is the length of a delta in characters,
    0 a word. `chunk` re-cuts the bytes: so many per HTTP chunk, 0 as composed, -1 random by `seed`.
    """

    text: str | None = None
    thinking: str = ""
    search: tuple[Json, ...] = ()
    piece: int = 4
    delay: float = 0.0
    first_delay: float = 0.0
    silent_after_headers: float = 0.0
    cite: str = "1f6e0"
    split_cite: bool = False
    frames: tuple[Json, ...] | None = None
    lines: tuple[str, ...] | None = None
    segments: tuple[str, ...] = ()
    echo_context: bool = False
    act: Act | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: object = None
    content_type: str = ""
    chunk: int = 0
    seed: int = 0
    faults: Faults = Faults()


_ANSWER_KEYS = frozenset(item.name for item in fields(Answer))
_FAULT_KEYS = frozenset(item.name for item in fields(Faults))
_SPEECH = ("echo_context", "act", "text", "frames", "lines", "segments")


def read_answer(source: Mapping[str, object]) -> Answer:
    """Read one ANSWER of POST /emulator/plan; raises `Malformed`."""
    refuse_unknown(source, _ANSWER_KEYS, "an answer")
    cite = text(source, "cite", "1f6e0").lower()
    if cite not in {"e3a3", "1f6e0"}:
        raise Malformed("cite must be e3a3 or 1f6e0")
    echo_context, act = flag(source, "echo_context"), read_act(source.get("act"))
    spoken = [key for key in _SPEECH if source.get(key) not in (None, False)]
    if spoken[1:] and (echo_context or act is not None):
        raise Malformed(f"{spoken[0]} and {spoken[1]} exclude each other")
    frames, lines, status = (source.get(key) for key in ("frames", "lines", "status"))
    return Answer(
        text=None if source.get("text") is None else text(source, "text"),
        thinking=text(source, "thinking"),
        search=as_objects(source.get("search") or [], "search"),
        piece=integer(source, "piece", 4),
        delay=number(source, "delay"),
        first_delay=number(source, "first_delay"),
        silent_after_headers=number(source, "silent_after_headers"),
        cite=cite,
        split_cite=flag(source, "split_cite"),
        frames=None if frames is None else as_objects(frames, "frames"),
        lines=None if lines is None else as_texts(lines, "lines"),
        segments=as_texts(source.get("segments") or [], "segments"),
        echo_context=echo_context,
        act=act,
        status=None if status is None else integer(source, "status"),
        headers=_read_headers(source.get("headers") or {}),
        body=source.get("body"),
        content_type=text(source, "content_type"),
        chunk=-1 if source.get("chunk") == "random" else integer(source, "chunk"),
        seed=integer(source, "seed"),
        faults=read_faults(as_object(source.get("faults") or {}, "faults")),
    )


def read_faults(source: Mapping[str, object]) -> Faults:
    """Read the faults of one answer; raises `Malformed`."""
    refuse_unknown(source, _FAULT_KEYS, "faults")
    cut = text(source, "cut", "fin")
    if cut not in {"fin", "rst"}:
        raise Malformed("cut must be fin or rst")
    return Faults(
        overload_trailer=_read_error(source, "overload_trailer", OVERLOADED),
        error_trailer=_read_error(source, "error_trailer", INTERNAL),
        error_frame=_read_error(source, "error_frame", INTERNAL),
        exception_block=_read_error(source, "exception_block", EXCEPTION),
        error_after_done=_read_error(source, "error_after_done", INTERNAL),
        legacy_error=_read_legacy_error(source.get("legacy_error")),
        json_error=_read_json_error(source.get("json_error")),
        degrade_notice=flag(source, "degrade_notice"),
        no_trailer=flag(source, "no_trailer"),
        compressed_bit=flag(source, "compressed_bit"),
        compressed_gzip=flag(source, "compressed_gzip"),
        unknown_mask=flag(source, "unknown_mask"),
        unknown_op=flag(source, "unknown_op"),
        unknown_block=flag(source, "unknown_block"),
        stall_headers=flag(source, "stall_headers"),
        empty=flag(source, "empty"),
        html=flag(source, "html"),
        stream_pushing=flag(source, "stream_pushing"),
        ask_user=flag(source, "ask_user"),
        native_tool=flag(source, "native_tool"),
        cut="rst" if cut == "rst" else "fin",
        cut_after=_read_count(source, "cut_after"),
        stall_after=_read_count(source, "stall_after"),
        oversize_frame=_read_count(source, "oversize_frame"),
        heartbeat_every=number(source, "heartbeat_every"),
        drip=number(source, "drip"),
        status_value=text(source, "status_value", Faults.status_value),
    )


def _read_headers(value: object) -> tuple[tuple[str, str], ...]:
    headers = as_object(value, "headers")
    return tuple((name, text(headers, name)) for name in headers)


def _read_count(source: Mapping[str, object], key: str) -> int | None:
    return None if source.get(key) is None else integer(source, key)


def _read_position(source: Json, default: int) -> int:
    """Read after_text: a number of characters, -1 for the door, true for all of the text."""
    if source.get("after_text") is True:
        return AFTER_ALL
    return integer(source, "after_text", default)


def _read_error(source: Mapping[str, object], key: str, default: KimiError) -> KimiError | None:
    """Read an error fault: true takes the default, an object replaces parts of it."""
    value = source.get(key)
    if value is None or value is False:
        return None
    if value is True:
        return default
    spec = as_object(value, key)
    known = frozenset({"code", "reason", "message", "paywall", "severity", "after_text"})
    refuse_unknown(spec, known, key)
    paywall = spec.get("paywall")
    if isinstance(paywall, bool):
        paywall = {} if paywall else None  # the live notice carries an empty object (captures/05)
    return KimiError(
        text(spec, "code", default.code),
        text(spec, "reason", default.reason),
        text(spec, "message", default.message),
        None if paywall is None else as_object(paywall, "paywall"),
        text(spec, "severity", default.severity),
        _read_position(spec, default.after_text),
    )


def _read_legacy_error(value: object) -> LegacyError | None:
    if value is None:
        return None
    spec = as_object(value, "legacy_error")
    known = frozenset({"error_type", "message", "detail", "status", "after_text"})
    refuse_unknown(spec, known, "legacy_error")
    return LegacyError(
        text(spec, "error_type", "openai.completion.stream"),
        text(spec, "message"),
        text(spec, "detail"),
        None if spec.get("status") is None else integer(spec, "status"),
        _read_position(spec, 0),
    )


def _read_json_error(value: object) -> tuple[int, object] | None:
    if value is None:
        return None
    spec = as_object(value, "json_error")
    refuse_unknown(spec, frozenset({"status", "body"}), "json_error")
    return integer(spec, "status", 500), spec.get("body")
