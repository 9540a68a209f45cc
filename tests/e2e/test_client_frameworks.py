"""Client frameworks at the real gateway, each over every dialect that it speaks.

They run as programs of tests/clients, in environments of their own: requirements-clients.txt, and for instructor
requirements-instructor.txt.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator.client import AccountTokens, EmulatorControl
from tests.e2e.python_programs import (
    FENCED,
    IMAGE_SHA256,
    OBJECT,
    PLANS,
    TALK,
    TEXT,
    Program,
    Ran,
    attempts,
    calling,
    environment,
    run,
)

pytestmark = pytest.mark.e2e

AT_ONCE = 2
"""Programs that run at the same time: most of what they do is to import their frameworks."""

TOLD = {
    "bad-token": "log in again",
    "quota": "quota",
    "down": "answered 500",
    "cut": "broke off before its end",
}
"""Fault → what the gateway says of it."""

STEPS: list[dict[str, object]] = [
    {"action": "find_city", "argument": "Ann"},
    {"action": "weather", "argument": "Home of Ann", "days": 2},
    {"action": "answer", "argument": "Rain."},
]

LANGCHAIN = Program(
    "langchain",
    "langchain_models.py",
    ["chat", "responses", "anthropic", "gemini"],
    {
        "bad-token": "{}AuthenticationError",
        "quota": "{}RateLimitError",
        "down": "{}APIError",
        "cut": "APIError",
        "anthropic cut": "APIStatusError",
        "gemini cut": "GoogleAPIError",
    },
    {"typed_by_tool": [calling("Forecast")]},
)
LITELLM = Program(
    "litellm",
    "litellm_calls.py",
    ["chat", "responses", "anthropic", "gemini"],
    {
        "bad-token": "AuthenticationError",
        "quota": "RateLimitError",
        "down": "ServiceUnavailableError",
        "cut": "MidStreamFallbackError",
    },
    {"bases": [{"text": TEXT}] * 3, "anthropic typed": [calling("json_tool_call")]},
    gateway="rest_gateway",
)
PYDANTIC_AI = Program(
    "pydantic-ai",
    "pydantic_ai_agents.py",
    ["chat", "responses", "anthropic", "gemini"],
    {
        "bad-token": "ModelAuthenticationError",
        "quota": "ModelRateLimitError",
        "down": "ModelUnavailableError",
        "cut": "ModelAPIError",
        "anthropic cut": "ModelServerError",
        "gemini cut": "ModelUnavailableError",
    },
    {"typed_by_tool": [calling("final_result")]},
    gateway="rest_gateway",
)
AGENTS = Program(
    "openai-agents",
    "openai_agents.py",
    ["chat", "responses"],
    {
        "bad-token": "AuthenticationError",
        "quota": "RateLimitError",
        "down": "InternalServerError",
        "cut": "APIError",
    },
    {"handoff": [calling("transfer_to_weatherman", {}), {"text": TEXT}]},
)
LLM = Program(
    "llm",
    "llm_commands.py",
    ["chat", "responses"],
    dict.fromkeys(TOLD, "ClickException"),
    {"chat command": [{"text": TEXT}]},
    gateway="rest_gateway",
)
INSTRUCTOR = Program(
    "instructor",
    "instructor_types.py",
    ["chat", "responses", "anthropic", "gemini"],
    dict.fromkeys(TOLD, "InstructorRetryException"),
    {
        "image": [calling("Forecast")],
        "typed_by_tool": [calling("Forecast")],
        "chat typed_by_schema": [FENCED],
        "partial": [calling("PartialForecast")],
        "steps": [calling("Step", step) for step in STEPS],
        **{f"typed-{fault}": PLANS[f"text-{fault}"] for fault in ("bad-token", "quota", "down")},
    },
    without=frozenset(PLANS) - {"typed", "image"},
    environment="instructor",
)
PROGRAMS = [LITELLM, LANGCHAIN, PYDANTIC_AI, AGENTS, LLM, INSTRUCTOR]

Runs = Mapping[str, "Future[Ran]"]


def over(*names: str) -> pytest.MarkDecorator:
    """Run a test for the cases of these names, of each program and dialect that has them."""
    cases = [(program, case) for program in PROGRAMS for case in program.cases if case.partition(" ")[2] in names]
    ids = [f"{program.name}-{case.replace(' ', '-')}" for program, case in cases]
    return pytest.mark.parametrize(("program", "case"), cases, ids=ids)


each = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    kimi: EmulatorControl,
    issued: list[AccountTokens],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """Start the programs that the chosen tests are about."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = {params["program"].name for params in chosen if isinstance(params.get("program"), Program)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            program.name: pool.submit(
                run,
                program,
                request.getfixturevalue(program.gateway),
                kimi,
                issued,
                tmp_path_factory.mktemp(program.name),
            )
            for program in PROGRAMS
            if program.name in names
        }


@pytest.fixture
def ran(runs: Runs, program: Program) -> Ran:
    """Wait for a program's end."""
    assert program.binaries.exists(), "run `make test`, which installs the client frameworks"
    return runs[program.name].result()


@over("text")
def test_text(ran: Ran, case: str) -> None:
    """A question is answered, and its usage told."""
    told = ran.well(case)
    assert told["text"] == TEXT
    assert told["usage"]["input_tokens"] > 0
    assert told["usage"]["output_tokens"] > 0


@over("streamed")
def test_streamed_text(ran: Ran, case: str) -> None:
    """The answer comes in pieces, and its usage at the end."""
    told = ran.well(case)
    assert "".join(told["pieces"]).strip() == TEXT
    assert len(told["pieces"]) > 5
    assert told["usage"]["output_tokens"] > 0


@over("talk")
def test_two_questions(ran: Ran, case: str) -> None:
    """The second question reaches Kimi with the answer to the first one."""
    assert ran.well(case)["texts"] == TALK
    first, second = ran.guests[case].asked_texts()
    assert TALK[0] not in first
    assert TALK[0] in second


@over("tools", "streamed_tools")
def test_tools(ran: Ran, case: str) -> None:
    """Two tools are called in two steps, and their results reach the model: some frameworks wrap them in an object."""
    told = ran.well(case)
    (find, who), (weather, where) = told["calls"]
    assert [find, weather] == ["find_city", "weather"]
    assert who == {"person": "Ann"}
    assert set(where) == {"city", "days"}
    assert "Home of Ann" in where["city"]
    assert where["days"] == 2
    assert "Rain in" in told["text"]
    assert "Home of Ann" in told["text"]


@over("image")
def test_image(ran: Ran, case: str) -> None:
    """The image beside a question is shown to Kimi, byte by byte."""
    assert ran.well(case) in ({"text": TEXT}, {"object": OBJECT})
    assert [file["sha256"] for file in ran.guests[case].files()] == [IMAGE_SHA256]


@over("typed", "typed_by_tool", "typed_by_schema", "partial")
def test_structured_output(ran: Ran, case: str) -> None:
    """An object of the wanted type, by each way to ask for one, from one answer of Kimi's."""
    assert ran.well(case)["object"] == OBJECT
    assert len(ran.guests[case].completions()) == 1


@over(*(f"{function}-{fault}" for function in ("text", "typed", "streamed") for fault in TOLD))
def test_errors(ran: Ran, program: Program, case: str) -> None:
    """Failures are raised as what they are, also in the midst of a stream, and Kimi is asked once.

    SDKs are told not to try again. langchain-google-genai obeys no such header: it tries six times, over half a minute;
    here it was told to try twice. A spent quota costs one question all the same, because the gateway then leaves the
    account alone.
    """
    error = ran.raised(case)
    fault = case.partition("-")[2]
    assert error["class"] == program.error(case)
    assert TOLD[fault] in error["text"]
    tried = 2 if (program, case) == (LANGCHAIN, "gemini text-down") else 1
    assert len(ran.guests[case].completions()) == (0 if fault == "bad-token" else tried)


@over("bases")
def test_litellm_takes_every_address(ran: Ran, case: str) -> None:
    """The address may end with a version or not, with each of its providers."""
    assert ran.well(case) == {"texts": [TEXT] * 3}


@over("command")
def test_the_command_itself(ran: Ran, case: str) -> None:
    """`llm` as a user starts it."""
    assert ran.well(case) == {"text": TEXT, "status": 0}


@over("handoff")
def test_an_agent_hands_over(ran: Ran, case: str) -> None:
    """An agent calls another one by a tool without arguments."""
    assert ran.well(case) == {"text": TEXT, "by": "Weatherman"}


@over("steps")
def test_instructor_goes_step_by_step(ran: Ran, case: str) -> None:
    """At each step the model chooses one of three actions."""
    assert ran.well(case) == {"text": "Rain.", "calls": [["find_city", "Ann"], ["weather", "Home of Ann"]]}


@each
def test_nothing_left_this_machine(ran: Ran) -> None:
    """No framework tried to reach anything but the gateway."""
    assert ran.attempts == []


def test_attempts_to_leave_are_seen(tmp_path: Path) -> None:
    """A name is not looked up and an address not called, and both are noted."""
    attempt = "import socket\ntry: socket.create_connection(({!r}, 80))\nexcept OSError: pass\n"
    code = attempt.format("198.51.100.1") + attempt.format("example.com")
    python = LANGCHAIN.binaries / "python"
    subprocess.run([str(python), "-c", code], env=environment(LANGCHAIN, tmp_path), check=True, timeout=60)
    assert attempts(tmp_path) == ["198.51.100.1", "example.com"]
