"""How a prompt teaches a model to call tools, learnt from its text alone.

No marker is known here: a model sees which tools are listed, copies the form of the example, and finds the results by
their attributes. So a prompt that would mislead a model misleads this one too.
"""

import json
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

_EXAMPLE = re.compile(r"^(<(?!/).*\n[ \t]*)(\{.*(?:\n(?!<).*)*)(\n</.*)", re.MULTILINE)
"""An opening line, what may be a JSON object, a closing line; no line of an object can begin with `<`."""
_QUOTED = re.compile(r'"([^"\n]*)"|\'([^\'\n]*)\'')
_RESULT = re.compile(r'<([^\s<>/"]+)((?:\s+[\w:.-]+="[^"]*")+)\s*>')
_CLOSED = re.compile(r'</([^\s<>/"]+)>')
_ATTRIBUTE = re.compile(r'([\w:.-]+)="([^"]*)"')


@dataclass(frozen=True)
class Result:
    """What a tool gave back: the call's id, the tool, its output, and whether it is marked as an error."""

    id: str
    name: str
    text: str
    failed: bool


@dataclass(frozen=True)
class Lesson:
    """What was taught: each tool with its schema, and the text of a block around a name and its arguments."""

    schemas: Mapping[str, object]
    before_name: str
    before_arguments: str
    closing: str

    @property
    def tools(self) -> tuple[str, ...]:
        """The names of the listed tools, in their order."""
        return tuple(self.schemas)

    def call(self, name: str, arguments: object) -> str:
        """Write a call in the taught form; a string for arguments is put in as it is."""
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return f"{self.before_name}{name}{self.before_arguments}{written}{self.closing}"


def learn(texts: Sequence[str]) -> Lesson | None:
    """Learn from texts, oldest first; None where no tools are listed or no form of a call is shown.

    The newest list counts, and so does the first example of the newest text that has one, be its tool listed there or
    earlier. What stands in a result teaches nothing.
    """
    proses = [_without_results(text) for text in texts]
    lists = [found for found in map(_listed, proses) if found]
    names = {name for found in lists for name in found}
    for prose in reversed(proses):
        lesson = _form(prose, names, lists[-1]) if lists else None
        if lesson is not None:
            return lesson
    return None


def results(text: str) -> list[Result]:
    """Find the results in a text: elements with an id and a name, each tag on a line of its own."""
    return [result for _, _, result in _elements(text.split("\n"))]


def _elements(lines: list[str]) -> list[tuple[int, int, Result]]:
    """Find the results with the numbers of their first and last line; what stands in one is its text alone."""
    ends: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        if closed := _CLOSED.fullmatch(line.rstrip()):
            ends[closed[1]].append(number)
    found: list[tuple[int, int, Result]] = []
    past = 0
    for number, line in enumerate(lines):
        opened = _RESULT.fullmatch(line.rstrip()) if number >= past else None
        if opened is None:
            continue
        named, fitting = dict(_ATTRIBUTE.findall(opened[2])), ends.get(opened[1], [])
        place = bisect(fitting, number)
        if place < len(fitting) and {"id", "name"} <= named.keys():
            past = fitting[place] + 1
            text = "\n".join(lines[number + 1 : past - 1])
            result = Result(named["id"], named["name"], text, named.get("status") == "error")
            found.append((number, past - 1, result))
    return found


def _without_results(text: str) -> str:
    """Give a text with an empty line in the place of each result."""
    lines = text.split("\n")
    for first, last, _ in reversed(_elements(lines)):
        lines[first : last + 1] = [""]
    return "\n".join(lines)


def _listed(prose: str) -> dict[str, object]:
    """Find the listed tools: lines that are JSON objects with a name and parameters."""
    found: dict[str, object] = {}
    for line in prose.split("\n"):
        tool = _json(line) if line.lstrip().startswith("{") else None
        if isinstance(tool, dict) and isinstance(tool.get("name"), str) and "parameters" in tool:
            found[tool["name"]] = tool["parameters"]
    return found


def _json(source: str) -> object:
    """Decode JSON; None for what is no JSON, or too deep or too long a number for Python."""
    try:
        value: object = json.loads(source)
    except (ValueError, RecursionError):
        return None
    return value


def _form(prose: str, names: Container[str], schemas: Mapping[str, object]) -> Lesson | None:
    """Find the first example of a call, and take all but its name and its JSON object for the form."""
    for example in _EXAMPLE.finditer(prose):
        opening, arguments, closing = example.groups()
        quoted = next((item for item in _QUOTED.finditer(opening) if item[item.lastindex or 0] in names), None)
        if quoted is not None and isinstance(_json(arguments), dict):
            start, stop = quoted.span(quoted.lastindex or 0)
            space = arguments[len(arguments.rstrip()) :]
            return Lesson(schemas, opening[:start], opening[stop:], space + closing.rstrip())
    return None
