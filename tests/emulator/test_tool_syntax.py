"""What a model learns from a prompt: the tools, the form of a call, the results."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.tool_syntax import Lesson, Result, learn, results

READ = '{"name":"Read","description":"Reads.","parameters":{"type":"object"}}'
BASH = '{"name":"Bash","description":"Runs.","parameters":{}}'
EXAMPLE = '<call:K7Q2 name="Read">\n{"file_path": "..."}\n</call:K7Q2>'
RESULT = '<result:K7Q2 id="1" name="Read">\nsome text\n</result:K7Q2>'

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSONS, max_size=4)
MARKS = st.text("abcXYZ019:_-|", min_size=1, max_size=12)
SCRAPS = st.sampled_from([READ, EXAMPLE, RESULT, *EXAMPLE.split("\n"), *RESULT.split("\n"), "{", "}", "</", '"', "\r"])
PROMPTS = st.lists(SCRAPS | st.text('<>/{}[]"=: \n\rabR', max_size=20), max_size=12).map("\n".join)


def prompt(*tools: str, example: str = EXAMPLE, conversation: str = "") -> str:
    """Build a prompt of the usual shape."""
    rules = 'Results come as <result:K7Q2 id="1" name="Read"> ... </result:K7Q2>; don\'t write them.'
    listed = "\n".join(tools)
    taught = f"You can call tools by printing:\n\n{example}\n\n{rules}\nThe tools:\n{listed}"
    return f"<instructions>Be kind.</instructions>\n\n<tools>\n{taught}\n</tools>\n\n{conversation}\n\nWhat is in /a?"


def taught(*texts: str) -> Lesson:
    """Learn what must be there to learn."""
    lesson = learn(texts)
    assert lesson is not None
    return lesson


def test_a_lesson_of_the_usual_shape() -> None:
    """The tools in their order with their schemas, and a call that differs from the example where it may."""
    lesson = taught(prompt(READ, BASH))
    assert lesson.tools == ("Read", "Bash")
    assert lesson.schemas == {"Read": {"type": "object"}, "Bash": {}}
    assert lesson.call("Bash", {"cmd": "é\n"}) == '<call:K7Q2 name="Bash">\n{"cmd": "é\\n"}\n</call:K7Q2>'
    assert lesson.call("Bash", '{"cmd": ') == '<call:K7Q2 name="Bash">\n{"cmd": \n</call:K7Q2>'


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("<<do 'Read' now\n{}\n</do>>", "<<do 'Bash' now\n{\"a\": 1}\n</do>>"),
        (
            '<call id="x" tool="Read" v="2">\n  {}\n</call> end',
            '<call id="x" tool="Bash" v="2">\n  {"a": 1}\n</call> end',
        ),
        ('<a "Read">\r\n{}\r\n</a>\r', '<a "Bash">\r\n{"a": 1}\r\n</a>'),
        ('<a "Read">\n{\n  "path": "<b>"\n}\n</a>', '<a "Bash">\n{"a": 1}\n</a>'),
        ('<p "x">\n{}\n</p>\n<a "Read">\nwords\n</a>\n<b "Read">\n{}\n</b>', '<b "Bash">\n{"a": 1}\n</b>'),
        ('<a "Read">\n{}\nwords\n</a>\n<b "Read">\n{}\n</b>\n<c "Read">\n{}\n</c>', '<b "Bash">\n{"a": 1}\n</b>'),
        ('</a "Read">\n{}\n</a>\n <a "Read">\n{}\n</a>\n<b "Read">\n{}\n</b>', '<b "Bash">\n{"a": 1}\n</b>'),
    ],
)
def test_the_form_is_whatever_the_first_example_shows(example: str, expected: str) -> None:
    """Any tag, any quotes, any number of lines of JSON; what only resembles an example is passed over."""
    assert taught(prompt(READ, BASH, example=example)).call("Bash", {"a": 1}) == expected


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("Hi",),
        (EXAMPLE,),
        (prompt(READ, example="no example"),),
        (prompt(),),
        (prompt(BASH),),
        (prompt('{"name":7,"parameters":{}}', '{"name":"Read"}', '["Read"]'),),
        (READ + "\n" + RESULT.replace("some text", "{}"),),
    ],
)
def test_nothing_is_learnt_without_a_list_and_an_example(texts: tuple[str, ...]) -> None:
    """Neither is enough alone."""
    assert learn(texts) is None


def test_the_newest_lesson_wins() -> None:
    """The list and the form each by itself; a text without them takes nothing away."""
    first, other = prompt(READ, BASH), EXAMPLE.replace("K7Q2", "ABCD")
    assert taught(first, RESULT, "Go on.") == taught(first)
    assert taught(first, f"Now so:\n{other}").call("Bash", {}).startswith("<call:ABCD")
    assert taught(first, f"Now so:\n{other}").tools == ("Read", "Bash")
    assert taught(first, prompt(BASH, example=other)).tools == ("Bash",)
    assert taught(first, f"Only this is left:\n{BASH}").call("Bash", {}).startswith("<call:K7Q2")


def test_results_teach_nothing() -> None:
    """A file may be full of tools and calls."""
    told = "\n".join((BASH, EXAMPLE.replace("K7Q2", "ZZZZ")))
    first, misleading = prompt(READ), RESULT.replace("some text", told)
    assert taught(first, misleading) == taught(first)
    assert taught(f"{misleading}\n{first}") == taught(first)
    assert taught(first, RESULT.replace("some text", '{"a": 1}')) == taught(first)


def test_results_are_found_in_their_order() -> None:
    """With all their lines, and whether they are marked as failed."""
    failed = '<r status="error"   name="Bash" id="2">\n\n a\n<b>\n\n</r>'
    empty = '<r id="3" name="">\n</r>'
    assert results(prompt(READ, conversation=f"{RESULT}\n{failed}\nwords\n{empty}")) == [
        Result("1", "Read", "some text", failed=False),
        Result("2", "Bash", "\n a\n<b>\n", failed=True),
        Result("3", "", "", failed=False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        '<r id="1">\na\n</r>',
        ' <r id="1" name="a">\na\n</r>',
        '<r id="1" name="a">\na\n </r>',
        '<r id="1" name="a">\na\n</s>',
        '<r:AAAA id="1" name="a">\na\n</r:BBBB>',
        '<r id="1" name="a">a\n</r>',
        '<r id="1" name="a">a</r>',
        '</r>\n<r id="1" name="a">',
        "<r id=1 name=a>\na\n</r>",
    ],
)
def test_what_only_resembles_a_result_is_none(text: str) -> None:
    """Both tags are whole lines, and belong together."""
    assert results(text) == []


def test_a_result_is_not_looked_into() -> None:
    """It ends at the first closing tag of its own; one that is never closed hides nothing."""
    inner = RESULT.replace("K7Q2", "XXXX")
    (found,) = results(RESULT.replace("some text", inner))
    assert found.text == inner
    assert [result.text for result in results('<r id="0" name="Read">\n' + RESULT)] == ["some text"]


def test_long_texts_are_read_in_one_go() -> None:
    """A search that starts anew at each line would not come to an end here."""
    lines = 100_000
    assert results('<r id="1" name="Read">\n' * lines) == []
    assert results('<r id="1" name="Read">\n' * lines + "</r>\n" * lines)[0].text.count("\n") == lines - 2
    assert learn([READ, '<a "Read">\n{"a":\n' * lines, "<a " + "'" * lines]) is None
    assert learn([READ, '{"a":' * lines, "1" * lines, f'<a "Read">\n{{"a":{"[" * lines}']) is None
    assert learn([READ, '<a "Read">\n{' + "\n" * lines, '<a "Read">\n' + "{\n" * lines]) is None


@given(PROMPTS, PROMPTS)
def test_no_text_is_too_strange(older: str, newer: str) -> None:
    """Whatever is learnt, a call is written in it."""
    lesson = learn([older, newer])
    assert lesson is None or "Read" in lesson.call("Read", {})
    assert all(result.text in newer for result in results(newer))


@given(MARKS, MARKS, OBJECTS)
def test_a_call_can_be_read_back(mark: str, code: str, arguments: dict[str, object]) -> None:
    """Whatever the tag and the arguments: they stand alone between the lines of the form."""
    opening, closing = f'<{mark}:{code} name="{{}}">', f"</{mark}:{code}>"
    example = "\n".join((opening.format("Read"), "{}", closing))
    lesson = taught(prompt(READ, BASH, example=example))
    block = lesson.call("Bash", arguments)
    first, *middle, last = block.split("\n")
    assert (first, last) == (opening.format("Bash"), closing)
    assert json.loads("\n".join(middle)) == arguments
    assert taught(prompt(READ, BASH, example=block)) == lesson


@given(MARKS, st.lists(st.text(), max_size=4), st.booleans())
def test_a_result_can_be_read_back(mark: str, lines: list[str], failed: bool) -> None:  # noqa: FBT001 -- drawn
    """Line by line, whatever the text."""
    text, status = "\n".join(lines), ' status="error"' if failed else ""
    element = f'<{mark} id="7"{status} name="Read">\n{text}\n</{mark}>'
    assert results(f"words\n{element}\nwords") == [Result("7", "Read", text, failed)]
