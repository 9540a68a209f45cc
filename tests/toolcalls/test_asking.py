"""When a model is asked once more, and in which words."""

from __future__ import annotations

import pytest

from app.chat.request import Choice, ToolSpec, ToolUse
from app.toolcalls.asking import MAX_FOLLOW_UPS, Asking, Duty, Words, diagnosable
from app.toolcalls.flow import Fault
from app.toolcalls.marks import Marks

MARKS = Marks("K7Q2")
SPECS = (ToolSpec("Read"), ToolSpec("Bash"))
AUTO = Duty(ToolUse(SPECS))
LATER = Duty(ToolUse(SPECS), after_result=True)
NONE = Duty(ToolUse(SPECS, Choice.NONE))
REQUIRED = Duty(ToolUse(SPECS, Choice.REQUIRED))
NAMED = Duty(ToolUse(SPECS, Choice.REQUIRED, allowed=("Bash",)))
FORM = '<call:K7Q2 name="NAME">, one JSON object with the arguments, </call:K7Q2>]'


def words(text: str) -> Words:
    """The words of an answer."""
    said = Words()
    said.add(text)
    return said


def asked(
    text: str = "", *faults: Fault, duty: Duty = AUTO, asking: Asking | None = None, called: bool = False
) -> str | None:
    """What is asked about an answer of these words and faults."""
    asking = asking or Asking(MARKS, duty)
    return asking.question(faults, words(text), called=called, silent=not text)


# --- The questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("unknown_tool", "Fly"), "There is no tool of the name Fly; the tools are Read, Bash."),
        (Fault("not_allowed", "Read"), "In this turn you may call Read, Bash, and nothing else."),
        (Fault("bad_arguments", "Read"), "The arguments of your call of Read are not one JSON object"),
        (Fault("truncated_call", ""), "Your call of a tool broke off before its end."),
    ],
)
@pytest.mark.parametrize("called", [False, True])
def test_a_call_that_came_to_nothing_is_named(fault: Fault, told: str, *, called: bool) -> None:
    """With what is wrong, and the form that it must have; also beside good calls."""
    question = asked("Words.", fault, called=called)
    assert question is not None
    assert question.startswith(f"[{told}")
    assert question.endswith(FORM)


@pytest.mark.parametrize(
    ("text", "duty", "told"),
    [
        ("Words.", REQUIRED, "[You have called nothing, and have to call a tool. "),
        ("", NAMED, "[You have called nothing, and have to call Bash. "),
        ("", AUTO, "[Your answer was empty. "),
        ("Next:", LATER, "[You have announced something and printed nothing. "),
        ("I cannot read your files.", AUTO, "[You do have tools here, and they work: Read, Bash. "),
    ],
)
def test_what_is_missing_is_asked_for(text: str, duty: Duty, told: str) -> None:
    """In a sentence, with the form of a call."""
    question = asked(text, duty=duty)
    assert question is not None
    assert question.startswith(told)
    assert question.endswith(FORM)


def test_where_nothing_may_be_called_words_are_asked_for() -> None:
    """Without the form of a call."""
    assert asked("", duty=NONE) == "[Your answer was empty. Answer now: no tool can be called in this turn.]"


@pytest.mark.parametrize("duty", [AUTO, LATER, NONE, REQUIRED, NAMED])
def test_nothing_is_missing_where_there_are_good_calls(duty: Duty) -> None:
    """Whatever stands beside them."""
    assert asked("I cannot read your files:", duty=duty, called=True) is None


@pytest.mark.parametrize("text", ["Words.", "Next:", "I cannot read your files."])
def test_without_tools_there_is_nothing_to_miss(text: str) -> None:
    """Words are all that may come."""
    assert asked(text, duty=NONE) is None


def test_a_name_that_the_model_made_up_is_one_line_without_marks() -> None:
    """It stands in a question of ours."""
    question = asked("", Fault("unknown_tool", f"{MARKS.result}\n\n<message>")) or ""
    assert question.startswith("[There is no tool of the name <\\result:K7Q2 <message>; ")
    assert len(MARKS.pattern.findall(question)) == 2


# --- How many ----------------------------------------------------------------------------------------------


def test_a_reason_is_asked_about_once() -> None:
    """In all of an answer."""
    asking = Asking(MARKS, AUTO)
    assert asked("", Fault("unknown_tool", "Fly"), asking=asking)
    assert asked("", Fault("unknown_tool", "Walk"), asking=asking) is None
    assert asked("", Fault("bad_arguments", "Read"), asking=asking)


def test_few_questions_are_asked() -> None:
    """Each is a message of the account's quota."""
    asking = Asking(MARKS, AUTO)
    codes = ["unknown_tool", "bad_arguments", "truncated_call", "not_allowed"]
    questions = [asked("", Fault(code, "Read"), asking=asking) for code in codes]
    assert [question is not None for question in questions] == [True] * MAX_FOLLOW_UPS + [False] * 2


def test_some_answers_are_good_as_they_stand() -> None:
    """Those that were asked about for their words alone, if that came first."""
    asking = Asking(MARKS, AUTO)
    assert [asking.begun, asking.had_an_answer] == [False, False]
    asked("I cannot read your files.", asking=asking)
    assert [asking.begun, asking.had_an_answer] == [True, True]
    asked("", Fault("bad_arguments", "Read"), asking=asking)
    assert asking.had_an_answer
    other = Asking(MARKS, AUTO)
    asked("", Fault("bad_arguments", "Read"), asking=other)
    asked("I cannot read your files.", asking=other)
    assert [other.begun, other.had_an_answer] == [True, False]


def test_only_calls_that_came_to_nothing_can_be_asked_for() -> None:
    """A header that is none was text, and an invented result is nothing to repeat."""
    codes = ["bad_header", "unknown_tool", "hallucinated_result", "bad_arguments", "not_allowed", "truncated_call"]
    assert [fault.code for fault in diagnosable([Fault(code) for code in codes])] == [
        *("unknown_tool", "bad_arguments", "not_allowed", "truncated_call")
    ]


# --- Announcements and refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [["Next", ":", "\n\n"], ["a" * 10_000, "接下来："]])
def test_the_end_of_an_answer_is_kept_in_mind(pieces: list[str]) -> None:
    """However long it is, and however it arrived."""
    said = Words()
    for piece in pieces:
        said.add(piece)
    assert said.length == sum(map(len, pieces))
    assert Asking(MARKS, LATER).question((), said, called=False, silent=False)


REFUSALS = [
    "I don't have access to your file system.",
    "I don\u2019t have direct access to your files, so I cannot help.",
    "I do not currently have access to any tools.",
    "Unfortunately, I do not have the ability to run commands on your computer.",
    "I can't directly access files on your machine. Please paste the content here.",
    "I'm sorry, but I cannot execute code or open files.",
    "I am unable to run shell commands in this environment.",
    "I'm not able to access your local file system.",
    "As a language model, I have no access to your terminal.",
    "I don't have any tools available to read files.",
    "I have no tools here, I can only write text.",
    "I don't have tools to read files.",
    "抱歉，我无法访问您的文件系统。",
    "我目前无法直接读取本地文件，请把内容粘贴到这里。",
    "很抱歉，我没有可用的工具来执行命令。",
    "作为一个AI，我不能运行代码。",
    "我没有访问您电脑的权限。",
    "对不起，无法执行命令。",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_model_that_thinks_it_has_no_tools_is_heard(text: str) -> None:
    """In English and Chinese, whatever stands around it."""
    assert asked(text)
    assert asked(f"Hm.\n\n{text}\n\nAnything else?")


@pytest.mark.parametrize(
    "text",
    [
        "The function does not have access to the variable x.",
        "Users don't have permission to write there.",
        "A closure doesn't have the ability to rebind it without nonlocal.",
        "The worker process cannot read files that root owns.",
        "This script can't open the file because the path is wrong.",
        "You cannot run the code without a compiler.",
        "I think the service account does not have access to the bucket.",
        "I see that it cannot access the file system.",
        "I don't have a tool that books flights. Shall I look for something else?",
        "I don't have the right tools for that.",
        "I have no tools for booking flights.",
        "I don't have any tools available to book flights.",
        "I don't have access to the flight data of that day.",
        "None of the tools can do that.",
        "I do not have enough information. Which file do you mean?",
        "I can't recommend running commands as root.",
        "I have access to your files now.",
        "I cannot find the file. Where is it?",
        "这个函数没有访问权限，所以报错。",
        "该进程无法访问变量 x。",
        "我认为这个函数没有访问权限。",
        "我们的脚本无法读取文件。",
        "我没有合适的工具来订机票。",
        "您没有权限执行命令。",
        "如果无法访问文件，请检查路径。",
    ],
)
def test_ordinary_words_are_no_refusal(text: str) -> None:
    """A false alarm costs a message of the account's quota."""
    assert asked(text) is None


def test_a_refusal_in_a_long_answer_is_none() -> None:
    """It is a remark in an answer to something."""
    assert asked(f"{REFUSALS[0]} {'a' * 600}") is None


@pytest.mark.parametrize("text", REFUSALS[:2])
def test_after_a_result_a_model_knows_that_it_has_tools(text: str) -> None:
    """What it cannot do then, a tool has told it."""
    assert asked(text, duty=LATER) is None


def test_a_demand_comes_before_the_wording() -> None:
    """A call had to come, whatever was said."""
    asking = Asking(MARKS, REQUIRED)
    assert "have to call" in (asked("I cannot read your files:", asking=asking) or "")
    assert asked("I cannot read your files:", asking=asking) is None
