"""The events of the legacy stream: SSE lines whose data is JSON with an `event` (A5)."""

from collections.abc import Iterator

from emulator.answers import Answer, LegacyError
from emulator.pieces import cut, deltas, legacy_marker, limited
from emulator.steps import Send
from emulator.values import Json, encode

STREAM_TYPE = "text/event-stream; charset=utf-8"


def event(name: str, **content: object) -> Send:
    """Send one event, ended by a blank line."""
    return Send(b"data: " + encode({"event": name, **content}) + b"\n\n")


def keep_alive() -> Send:
    """Send a sign of life in both forms that were seen: a comment line and a ping."""
    return Send(b": keep-alive\n\n" + event("ping").data)


def opening(segment_id: str, content: str, refs: list[str], *, search: bool) -> Iterator[Send]:
    """Echo the question, name the answer. Both ids are 20 characters (captures/08).

    The answer's id differs from the question's: whoever continues with it has it wrong (A4).
    """
    group = segment_id[::-1]
    yield event("req", id=segment_id, group_id=group, content=content, refs=refs)
    yield event("resp", id=segment_id[::-1], group_id=group)
    target = {"search_target": content if search else "", "search_language": ""}
    yield event("debug", message={"need2search": search, **target})


def search(items: tuple[Json, ...]) -> Iterator[Send]:
    """Search the web: search_plus from start to answer, then the cards of the citations."""
    yield event("search_plus", msg={"type": "start"})
    yield event("search_plus", msg={"type": "start_res"})
    for count, item in enumerate(items, start=1):
        found = {
            "type": "get_res",
            "successNum": count,
            "title": item.get("title", ""),
            "url": item.get("url", ""),
            "site_name": item.get("siteName", ""),
            "date": "",
            "snippet": item.get("snippet", ""),
        }
        yield event("search_plus", msg=found)
    yield event("search_plus", msg={"type": "answer"})
    cards = [
        {"idx_s": index, "url": item.get("url", ""), "title": item.get("title", "")} for index, item in enumerate(items)
    ]
    yield event("ref_docs", ref_cards=cards)


def thinking(answer: Answer) -> Iterator[Send]:
    """Send what k1 thinks, in pieces."""
    for piece in cut(answer.thinking, answer.piece):
        yield event("k1", text=piece)


def words(answer: Answer, text: str, limit: int) -> Iterator[tuple[Send, str]]:
    """Send the answer in pieces, each with the text that it carries, up to `limit` characters."""
    for delta in limited(deltas(answer, text, legacy_marker), limit):
        content = {"idx_s": 0, "idx_z": 0, "text": delta.text, "view": "cmpl"}
        yield event("cmpl", **content), delta.text


def failure(error: LegacyError) -> Send:
    """Send an error inside the stream (captures/09)."""
    return event("error", error=error.as_json())
