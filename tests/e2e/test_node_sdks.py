"""The vendors' SDKs for node and Vercel's `ai` at the real gateway, in all four dialects.

Each runs once, as a program that does all cases, at a gateway that continues conversations: what an SDK sends as
history has to be recognised.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from emulator.client import AccountTokens, EmulatorControl
from tests.e2e.node_programs import ANSWER, CALLS, FOLDER, OBJECT, PROGRAMS, SOURCE, TEXT, THOUGHT, Ran, run
from tests.e2e.support import Gateway

pytestmark = pytest.mark.e2e

STOPPED = {"stop", "completed", "end_turn", "STOP"}
"""How the dialects, and `ai` for all of them, call the end of an answer that is whole."""

CALLED = {"tool_calls", "completed", "tool_use", "STOP", "tool-calls"}
LIMITED = {"length", "max_output_tokens", "max_tokens", "MAX_TOKENS"}

PNG = "6b7fa434f92a8b80aab02d9bf1a12e49ffcae424e4013a1c4f68b67e3d2bbcd0"
PDF = "c0243b574f6f21940ee12a171e5d2ff2a18afbe339607115cdd4efbebe78ca11"
"""SHA-256 of what the programs attach."""

STATUSES = {
    "bad_token": 401,
    "empty": 400,
    "invalid": 400,
    "no_path": 404,
    "missing": 404,
    "quota": 429,
    "down": 503,
    "truncated": 502,
}
UNASKED = ["bad_token", "empty", "no_path"]
"""The failures that Kimi never hears of."""

CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    502: "InternalServerError",
    503: "InternalServerError",
}
OTHER_CLASSES = {"google": "ApiError", "ai": "APICallError"}

NO_THINKING = {"ai-chat"}
"""@ai-sdk/openai does not read `reasoning_content`; the provider for compatible services does."""

NO_SOURCES = {"ai-compatible"}
"""@ai-sdk/openai-compatible does not read annotations; the one for OpenAI does."""

MORE_HEADERS = ["openai-organization", "openai-project", "x-stainless-poll-helper", "idempotency-key", "x-new-in-2027"]
"""Sent only where it is configured, or by nobody yet."""


@pytest.fixture(scope="module")
def runs(
    native_connect_gateway: Gateway, kimi: EmulatorControl, issued: list[AccountTokens]
) -> Iterator[dict[str, Future[Ran]]]:
    """Run two programs at a time, by their names: each waits most of the time."""
    if not (FOLDER / "node_modules").exists():
        assert "CI" not in os.environ, "the node packages are not installed"
        pytest.skip("`make test` installs the node packages where there is npm")
    with ThreadPoolExecutor(2) as pool:
        yield {program.name: pool.submit(run, program, native_connect_gateway, kimi, issued) for program in PROGRAMS}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module", params=[program.name for program in PROGRAMS])
def ran(request: pytest.FixtureRequest, runs: dict[str, Future[Ran]]) -> Ran:
    """What each program was told in its only run."""
    return runs[request.param].result()


@pytest.mark.parametrize("case", ["text", "streamed"])
def test_text_and_usage(ran: Ran, case: str) -> None:
    """The text, why it ended and how many tokens it took; a stream comes in pieces."""
    told = ran.well(case)
    assert told["text"] == TEXT
    assert told["finish"] in STOPPED
    assert all(isinstance(count, int) and count > 0 for count in told["usage"])
    assert case == "text" or told["pieces"] > 1


def test_events_are_numbered(ran: Ran) -> None:
    """Those of Responses: from 0, and none is missing."""
    for case in ("streamed", "streamed_thinking", "streamed_search"):
        numbers = ran.well(case).get("numbers", [])
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("case", ["talk", "stored"])
def test_a_talk_goes_on(ran: Ran, case: str) -> None:
    """The history that the SDK sends is that of the conversation, which is continued."""
    for known in ran.knows(case):
        assert ran.well(known)["texts"] == ["I am Kimi.", "You are Ann."]
        (chat,) = ran.guests[known].chats()
        assert len([message for message in chat["messages"] if message["role"] == "user"]) == 2


def test_a_stored_answer(ran: Ran) -> None:
    """Responses are there to be read again, until they are deleted."""
    for case in ran.knows("stored"):
        assert [ran.told[case]["kept"], ran.told[case]["gone"]] == ["You are Ann.", 404]


@pytest.mark.parametrize("case", ["tools", "streamed_tools"])
def test_two_tools_in_three_steps(ran: Ran, case: str) -> None:
    """The calls are run by the SDK's own loop or by hand, and their results reach the model in one conversation."""
    told = ran.well(case)
    assert [told["answer"], told["calls"]] == [ANSWER, CALLS]
    assert len(ran.asked[case]) == 3
    assert len(ran.guests[case].chats()) == 1


def test_a_call_that_is_demanded(ran: Ran) -> None:
    """The SDK's word for it is understood: a model that answers in words is asked again."""
    told = ran.well("forced")
    assert told["calls"] == CALLS[:1]
    assert told["finish"] in CALLED
    assert len(ran.asked["forced"]) == 2


@pytest.mark.parametrize(
    ("case", "expected"),
    [("image", ["image", "image/png", PNG]), ("document", ["file", "application/pdf", PDF])],
)
def test_an_attachment_reaches_kimi(ran: Ran, case: str, expected: list[str]) -> None:
    """The very bytes are uploaded, and the question refers to them."""
    assert ran.well(case)["text"] == TEXT
    guest = ran.guests[case]
    (file,) = guest.files()
    assert [file["kind"], file["content_type"], file["sha256"]] == expected
    assert guest.shown() == [[file["id"]]]


def test_a_limit_is_told_by_the_reason_of_the_end(ran: Ran) -> None:
    """An answer that was cut short by the client's own wish is whole as far as it goes."""
    told = ran.well("limit")
    assert [told["text"], told["usage"][1]] == ["The sky is blue ", 4]
    assert told["finish"] in LIMITED


@pytest.mark.parametrize("case", ["thinking", "streamed_thinking"])
def test_thinking_in_the_words_of_the_sdk(ran: Ran, case: str) -> None:
    """It is asked of Kimi, and told apart from the text."""
    told = ran.well(case)
    assert told["text"] == TEXT
    assert told["thinking"] == ("" if ran.program.name in NO_THINKING else THOUGHT)
    assert [request["options"]["thinking"] for request in ran.asked[case]] == [True]


@pytest.mark.parametrize("case", ["search", "streamed_search"])
def test_sources_in_the_words_of_the_sdk(ran: Ran, case: str) -> None:
    """A search is asked of Kimi; its sources are told, and no marker is left in the text."""
    told = ran.well(case)
    expected = [{"url": SOURCE["url"], "title": SOURCE["title"]}]
    assert told["text"] == "Water is wet."
    assert told["sources"] == ([] if ran.program.name in NO_SOURCES else expected)
    assert [tool["type"] for request in ran.asked[case] for tool in request["tools"]] == ["TOOL_TYPE_SEARCH"]


@pytest.mark.parametrize("case", ["object", "streamed_object", "object_by_tool"])
def test_an_object_of_a_schema(ran: Ran, case: str) -> None:
    """The SDK's own way to structured output gives the object, by the first answer."""
    for known in ran.knows(case):
        assert ran.well(known)["object"] == OBJECT
        assert len(ran.asked[known]) == 1


def test_models_are_listed(ran: Ran) -> None:
    """In the list of each vendor."""
    for case in ran.knows("models"):
        ids = [name.removeprefix("models/") for name in ran.well(case)["ids"]]
        assert {"kimi", "kimi-search", "kimi-thinking"} <= set(ids)


def test_tokens_are_counted(ran: Ran) -> None:
    """As the usage of an answer tells them, and Kimi is not asked."""
    for case in ran.knows("count"):
        assert ran.well(case)["tokens"] == ran.told["text"]["usage"][0]
        assert ran.asked[case] == []


def test_base_urls_as_people_type_them(ran: Ran) -> None:
    """With a version, without one, with a slash at the end, and with one that the SDK adds once more."""
    texts = ran.well("bases")
    assert len(texts) >= 3
    assert set(texts.values()) == {TEXT}


@pytest.mark.parametrize("case", STATUSES)
def test_errors_have_their_class(ran: Ran, case: str) -> None:
    """By status, and each costs at most the one completion that failed."""
    for known in ran.knows(case):
        error, status = ran.raised(known), STATUSES[known]
        name = "ServiceUnavailableError" if (ran.program.name, status) == ("anthropic", 503) else CLASSES[status]
        assert error["class"] == OTHER_CLASSES.get(ran.program.name.partition("-")[0], name)
        assert error["status"] == status
        assert len(ran.asked[known]) == (0 if known in UNASKED else 1)


@pytest.mark.parametrize("case", ["broken", "cut"])
def test_a_failure_in_the_middle_is_told(ran: Ran, case: str) -> None:
    """An answer that fails or breaks off after its first words is never a quiet success, and is not asked for again."""
    told, error = ran.told[case], ran.raised(case)
    heard = told.get("heard", told.get("text"))
    assert heard
    assert TEXT.startswith(heard)
    assert told.get("finish") in {None, "error"}
    assert ("broke off" if case == "cut" else "not available") in error["message"]
    assert len(ran.asked[case]) == 1


def test_ai_tries_again_by_itself(ran: Ran) -> None:
    """`ai` judges by the status alone and knows no x-should-retry: with `maxRetries: 1` a failure is two completions.

    By default it is three, so docs/clients.md advises `maxRetries: 0`.
    """
    for case in ran.knows("retried"):
        error = ran.raised(case)
        assert [error["class"], [inner["status"] for inner in error["inner"]]] == ["RetryError", [503, 503]]
        assert len(ran.asked[case]) == 2


def test_a_page_may_send_what_the_sdk_sends(ran: Ran, native_connect_gateway: Gateway) -> None:
    """A browser asks before; all headers are repeated, those that nobody sends yet as well."""
    asked = [*ran.headers, *MORE_HEADERS]
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/kimi:generateContent"):
        headers = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ",".join(asked),
        }
        reply = native_connect_gateway.request("OPTIONS", path, headers=headers)
        assert [reply.status, reply.headers["access-control-allow-origin"]] == [204, "*"]
        assert re.split(r",\s*", reply.headers["access-control-allow-headers"]) == asked
        assert "POST" in reply.headers["access-control-allow-methods"]


def test_programs_reach_this_machine_only() -> None:
    """What talks to another host is ended."""
    command = ["node", "--import", "./loopback.mjs", "-e", "fetch('http://gateway.example.com/').catch(() => {})"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=30, check=False)
    assert [done.returncode, done.stderr] == [3, "A client wanted to talk to gateway.example.com.\n"]
