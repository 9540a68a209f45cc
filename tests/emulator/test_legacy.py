"""The legacy site: plain calls and the stream of lines."""

import json
import time
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import Answered, Raw

pytestmark = pytest.mark.e2e

SEARCH = [{"title": "T", "url": "https://example.com/t", "siteName": "S", "snippet": "x"}]


@pytest.fixture
def chat(raw: Raw) -> str:
    """Give the path of a new chat."""
    opened = raw.legacy("POST", "/api/chat", name="a chat", is_example=False)
    assert len(opened.json["id"]) == 20
    return f"/api/chat/{opened.json['id']}"


def complete(raw: Raw, chat: str, **fields: Any) -> Answered:  # noqa: ANN401 -- any JSON
    """Ask in a legacy chat."""
    messages = [{"role": "user", "content": "1+1"}]
    return raw.legacy("POST", f"{chat}/completion/stream", **{"messages": messages, **fields})


def names(answered: Answered) -> list[str]:
    """Name the events in their order."""
    return [event["event"] for event in answered.events]


def said(answered: Answered) -> str:
    """Put the answer together."""
    return "".join(event["text"] for event in answered.events if event["event"] == "cmpl")


@pytest.mark.parametrize("kind", ["legacy_token", "refresh_token"])
def test_both_kinds_of_refresh_token_are_exchanged(control: EmulatorControl, kind: str) -> None:
    """The opaque one of old and the JWT; the old one goes on working."""
    client = Raw(control, getattr(control.account("ann"), kind))
    for _ in range(3):
        pair = client.legacy("GET", "/api/auth/token/refresh").json
        assert pair["refresh_token"].count(".") == 2
        assert Raw(control, pair["access_token"]).legacy("GET", "/api/user").status == 200


def test_a_dead_token_is_told_by_its_error_type(control: EmulatorControl) -> None:
    """401 with auth.token.invalid, on the exchange and elsewhere."""
    client = Raw(control, "nonsense")
    for path in ("/api/auth/token/refresh", "/api/user"):
        answered = client.legacy("GET", path)
        assert (answered.status, answered.json["error_type"]) == (401, "auth.token.invalid")


def test_chats_are_listed_and_deleted(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """And a deleted one is not found."""
    listed = raw.legacy("POST", "/api/chat/list", kimiplus_id="", offset=0, size=50).json["items"]
    assert [(item["id"], item["name"]) for item in listed] == [(chat.rsplit("/", maxsplit=1)[-1], "a chat")]
    assert raw.legacy("DELETE", chat).status == 200
    gone = complete(raw, chat)
    assert (gone.status, gone.json["error_type"]) == (404, "chat.not_found")
    assert control.chats()[0]["deleted"]


def test_research_is_metered(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """Every research costs one, and it never goes below none."""
    control.patch_account("ann", research_remaining=1)
    control.plan({"text": "r"}, repeat=True)
    usage = raw.legacy("GET", "/api/chat/research/usage").json
    assert usage == {"remain": 1, "total": 5, "used": 4}
    for _ in range(2):
        complete(raw, chat, use_research=True)
    assert raw.legacy("GET", "/api/chat/research/usage").json["remain"] == 0


def test_an_unknown_path_is_an_internal_error(raw: Raw) -> None:
    """The shape that was seen in 2026."""
    answered = raw.legacy("GET", "/api/nothing")
    assert (answered.status, answered.json["error_type"]) == (404, "internal.error")


def test_a_plain_answer_has_the_usual_order(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """From req to all_done, as the log lines of 2024 show it."""
    control.plan({"text": "2 plus", "piece": 3})
    answered = complete(raw, chat)
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert names(answered) == ["req", "resp", "debug", "cmpl", "cmpl", "done", "all_done"]
    req, resp = answered.events[:2]
    assert (req["content"], req["refs"]) == ("1+1", [])
    assert len(req["id"]) == len(resp["id"]) == 20
    assert said(answered) == "2 plus"
    assert control.chats()[0]["messages"][1]["text"] == "2 plus"


def test_search_and_thinking_come_first(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """search_plus, ref_docs, k1, then the words with their counted citation."""
    control.plan({"text": "so{{cite:0}}", "thinking": "hm", "search": SEARCH})
    answered = complete(raw, chat)
    assert names(answered)[3:-2] == [*["search_plus"] * 4, "ref_docs", "k1", "cmpl", "cmpl"]
    found = answered.events[5]["msg"]
    assert (found["type"], found["site_name"]) == ("get_res", "S")
    assert said(answered) == "so[^1^]"


@pytest.mark.parametrize("wanted", [{"model": "k1"}, {"kimiplus_id": "crm40ee9e5jvhsn7ptcg"}], ids=str)
def test_the_default_answer_thinks_and_searches_when_asked(raw: Raw, chat: str, wanted: dict[str, str]) -> None:
    """By the k1 model or its agent, and by use_search."""
    answered = complete(raw, chat, use_search=True, **wanted)
    assert {"k1", "search_plus"} <= set(names(answered))
    assert "emulator of Kimi" in said(answered)


def test_length_and_continue(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """Each segment but the last ends with length; the id to continue with is that of req."""
    control.plan({"segments": ["one ", "two ", "three"]})
    first = complete(raw, chat)
    assert names(first)[-3:] == ["length", "done", "all_done"]
    segment = first.events[0]["id"]
    wrong = complete(raw, chat, action="continue", segment_id=first.events[1]["id"])
    assert wrong.status == 404
    rest = [complete(raw, chat, action="continue", segment_id=segment) for _ in range(2)]
    assert said(first) + "".join(map(said, rest)) == "one two three"
    assert "length" not in names(rest[1])
    assert control.chats()[0]["messages"][1]["text"] == "one two three"
    assert complete(raw, chat, action="continue", segment_id=segment).status == 404


def test_one_stream_at_a_time_in_a_chat(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """The second is told that the first is still pushing."""
    control.plan({"faults": {"stall_after": 1}})
    body = json.dumps({"messages": [{"role": "user", "content": "q"}]}).encode()
    with raw.open("POST", f"{chat}/completion/stream", body, {}) as connection:
        connection.getresponse().read1(1)
        assert complete(raw, chat).json["error_type"] == "chat.user_stream_pushing"


def test_stream_pushing_on_demand(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """The same without a second stream."""
    control.plan({"faults": {"stream_pushing": True}})
    answered = complete(raw, chat)
    assert (answered.status, answered.json["error_type"]) == (400, "chat.user_stream_pushing")


def test_an_error_in_the_stream(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """After so much text, under HTTP 200."""
    spec = {"error_type": "openai.completion.stream", "message": "tired", "after_text": 2}
    control.plan({"text": "abcd", "piece": 1, "faults": {"legacy_error": spec}})
    answered = complete(raw, chat)
    assert (answered.status, said(answered)) == (200, "ab")
    (error,) = [event["error"] for event in answered.events if event["event"] == "error"]
    assert error == {"error_type": "openai.completion.stream", "message": "tired"}
    assert "done" not in names(answered)


def test_an_error_instead_of_the_stream(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """With a status it is plain JSON, and 200 is a status too."""
    spec = {"error_type": "auth.token.invalid", "message": "m", "detail": "d", "status": 200}
    control.plan({"faults": {"legacy_error": spec}})
    answered = complete(raw, chat)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.json == {"error_type": "auth.token.invalid", "message": "m", "detail": "d"}


def test_signs_of_life_are_comments_and_pings(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """Both forms, while the site says nothing."""
    control.plan({"text": "a", "silent_after_headers": 0.2, "faults": {"heartbeat_every": 0.05}})
    answered = complete(raw, chat)
    assert answered.body.startswith(b': keep-alive\n\ndata: {"event":"ping"}\n\n')
    assert names(answered)[-3:] == ["cmpl", "done", "all_done"]


def test_the_other_faults_of_a_stream(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """No end, no text, unknown events, giant events, cuts, drips: as on the other site."""
    faults: list[dict[str, object]] = [
        {"no_trailer": True},
        {"empty": True},
        {"unknown_block": True},
        {"oversize_frame": 100_000},
        {"cut_after": 3},
        {"drip": 0.0005},
        {"html": True},
    ]
    control.plan(*({"text": "ab", "faults": fault} for fault in faults))
    no_end, empty, unknown, giant, cut, drip, html = (complete(raw, chat) for _ in faults)
    assert names(no_end)[-1] == "done"
    assert "cmpl" not in names(empty)
    assert "hologram" in names(unknown)
    assert len(giant.body) > 100_000
    assert not cut.whole
    assert names(cut) == ["req", "resp", "debug"]
    assert said(drip) == "ab"
    assert html.headers["content-type"].startswith("text/html")


def test_a_leaving_client_is_noticed(control: EmulatorControl, raw: Raw, chat: str) -> None:
    """Within 0.2 s, and the chat is free again."""
    control.plan({"faults": {"stall_after": 1}}, {"text": "next"})
    body = json.dumps({"messages": [{"role": "user", "content": "q"}]}).encode()
    with raw.open("POST", f"{chat}/completion/stream", body, {}) as connection:
        connection.getresponse().read1(1)
        time.sleep(0.05)
    control.wait_for_log(lambda entries: entries[-1]["client_closed"], timeout=0.2)
    assert said(complete(raw, chat)) == "next"
