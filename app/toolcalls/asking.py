"""When a model is asked once more, and in which words.

Each question is a message of the account's quota, so none is asked twice, and only few in one answer. Some concern what
no client could use; others an answer of words that looks as if a call had been meant. Those answers are good as they
stand: they are asked about in words that leave them so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.chat.request import Choice, ToolUse
from app.toolcalls.flow import Fault
from app.toolcalls.marks import Marks
from app.toolcalls.prompt import call_again, once_more

MAX_FOLLOW_UPS = 2
"""How often the model is asked again in one answer, each time for another reason."""

UNMET = "tool_choice_unsatisfied"

_SHORT = 600
"""Characters of an answer that may be a refusal, and of the end of a longer one that are kept in mind."""

_ADVERB = r"(?:(?:currently|actually|really|simply|unfortunately|also|just|directly) )?"
_OURS = r"(?:(?:your|the|this|that|any|these|those|local|user.s|own|direct) ){0,3}"
_PLACES = (
    r"(?:files?|file ?systems?|folders?|director(?:y|ies)|terminal|shell|command line|computer|machine|device"
    r"|environment|code ?base|repositor(?:y|ies)|workspace|tools?)\b"
)
_WORK = r"(?:(?:shell|terminal|bash|system|python) )?(?:commands?|code|scripts?|programs?|tests?)\b"
_ENGLISH = (
    rf"\bI {_ADVERB}(?:(?:don.t|do not) {_ADVERB}have|have no) (?:(?:any|the|direct|actual) )?"
    rf"(?:access to {_OURS}{_PLACES}"
    rf"|(?:ability|way) to {_ADVERB}(?:(?:access|read|open|see|browse) {_OURS}{_PLACES}|(?:run|execute) {_OURS}{_WORK})"
    r"|tools\b(?! (?:available )?(?:that|which|for|to(?! (?:read|run|access|execute|open|browse)\b))\b))"
    rf"|\bI(?:.m| am)? {_ADVERB}(?:can.t|cannot|can not|unable to|not able to) {_ADVERB}"
    rf"(?:(?:access|read|open|browse) {_OURS}{_PLACES}|(?:run|execute) {_OURS}{_WORK})"
)
_CHINESE = (
    r"(?:我(?:目前|现在|暂时|这里|这边|其实|实际上|确实|本身|在这里|在此|并|也){0,2}"
    r"|(?:抱歉|对不起|不好意思)[，,！! ]{0,2})"
    r"(?:(?:无法|不能|没法|没有(?:办法|能力|权限))(?:直接|真正|实际){0,2}"
    r"(?:(?:访问|读取|打开|查看|浏览)[^。！？\n]{0,6}(?:文件|目录|系统|终端|电脑|计算机|设备|仓库|工具)"
    r"|(?:执行|运行)[^。！？\n]{0,6}(?:命令|代码|脚本|程序))"
    r"|没有(?:任何|可用的?|可以(?:使用|调用)的?|外部){0,2}工具"
    r"|没有(?:直接|任何){0,2}(?:访问|读取|操作|执行)[^。！？\n]{0,8}权限)"
)
_REFUSAL = re.compile(rf"{_ENGLISH}|{_CHINESE}", re.IGNORECASE)
"""What models say of themselves that think they have no tools.

It is narrow. Of others it may well be true that they have no access, and that there is no tool for this one thing is
what the model is told to say then.
"""

_DIAGNOSES = {
    "unknown_tool": "There is no tool of the name {name}; the tools are {tools}.",
    "not_allowed": "In this turn you may call {tools}, and nothing else.",
    "bad_arguments": "The arguments of your call of {name} are not one JSON object that can be read.",
    "truncated_call": "Your call of {name} broke off before its end.",
}

_NUDGES = frozenset({"announced", "refusal"})


@dataclass(frozen=True, slots=True)
class Duty:
    """What the request asks of the answer. `errs` says that it is an error if a call had to come and none does.

    `after_result` says that the answer follows the result of a tool.
    """

    use: ToolUse
    errs: bool = False
    after_result: bool = False

    @property
    def must_call(self) -> bool:
        """Whether a call has to come."""
        return self.use.choice is Choice.REQUIRED

    @property
    def names(self) -> str:
        """The tools that may be called."""
        return ", ".join(tool.name for tool in self.use.told)


class Words:
    """How long the words of one answer are, and how they end."""

    def __init__(self) -> None:
        self.length = 0
        self.end = ""

    def add(self, text: str) -> None:
        """Go on with `text`."""
        self.length += len(text)
        self.end = (self.end + text)[-_SHORT:]


class Asking:
    """The questions of one answer to the client."""

    def __init__(self, marks: Marks, duty: Duty) -> None:
        self._marks = marks
        self._duty = duty
        self._asked: list[str] = []

    @property
    def begun(self) -> bool:
        """Whether anything was asked."""
        return bool(self._asked)

    @property
    def had_an_answer(self) -> bool:
        """Whether what came before the first question is an answer by itself."""
        return bool(self._asked) and self._asked[0] in _NUDGES

    def question(self, faults: Sequence[Fault], words: Words, *, called: bool, silent: bool) -> str | None:
        """What the model is asked; None if there is no reason to, or there was one of that kind before.

        `called` says that there are good calls, `silent` that nothing has come that a client could be given.
        """
        reason = self._reason(faults, words, called=called, silent=silent)
        if reason is None or reason in self._asked or len(self._asked) >= MAX_FOLLOW_UPS:
            return None
        self._asked.append(reason)
        return self._worded(reason, faults)

    def _reason(self, faults: Sequence[Fault], words: Words, *, called: bool, silent: bool) -> str | None:
        """Why the model is asked, in a word."""
        if faults:
            return faults[0].code
        if called:
            return None
        if self._duty.must_call:
            return UNMET
        return "silent" if silent else self._omission(words)

    def _omission(self, words: Words) -> str | None:
        """What an answer of words shows that should have been a call."""
        if not self._duty.use.told:
            return None
        if self._duty.after_result:
            # It knows that it has tools; what it cannot do now, one of them has told it.
            return "announced" if words.end.rstrip().endswith((":", "：")) else None
        return "refusal" if words.length <= _SHORT and _REFUSAL.search(words.end) else None

    def _worded(self, reason: str, faults: Sequence[Fault]) -> str:
        """The question."""
        marks, duty = self._marks, self._duty
        if reason in _DIAGNOSES:
            return call_again(marks, _DIAGNOSES[reason].format(name=faults[0].name or "a tool", tools=duty.names))
        tools = duty.names if duty.use.allowed else "a tool"
        told = {
            UNMET: f"You have called nothing, and have to call {tools}. Print the call now",
            "announced": "You have announced something and printed nothing. If it was a call, print it now",
            "refusal": f"You do have tools here, and they work: {duty.names}. If one of them helps, print its call now",
            "silent": "Your answer was empty. Answer now; to call a tool, print the call",
        }
        if not duty.use.told:
            return "[Your answer was empty. Answer now: no tool can be called in this turn.]"
        return once_more(marks, told[reason])


def diagnosable(faults: Sequence[Fault]) -> list[Fault]:
    """Those of the faults that are calls which came to nothing."""
    return [fault for fault in faults if fault.code in _DIAGNOSES]
