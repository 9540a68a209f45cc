"""Which requests a client makes by itself, and which a person has written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.background_calls import ANSWERS, LOOK, MAX_SYSTEM_PARTS, RULES, Rule, is_background_call
from app.chat.request import FilePart, Message, Remote, Role, TextPart

HISTORY = "### Chat History:\n<chat_history>\nUSER: How do I bake bread?\nASSISTANT: Slowly.\n</chat_history>"
TITLE = f"### Task:\nGenerate a concise title summarizing the chat history.\n{HISTORY}"
RAG = (
    "### Task:\nRespond to the user query using the provided context, with citations.\n\n"
    '<context>\n<source id="1">A loaf.</source>\n</context>\n\n'
)
NAMED = "You are a title generator. You output ONLY a thread title. Nothing else.\n\nOne line."
BY_NAME = [pytest.param(rule, id=f"{number}-{rule.client}") for number, rule in enumerate(RULES)]


def user(text: str) -> Message:
    """A person's turn, or what a client says in a person's place."""
    return Message.of(Role.USER, text)


def system(text: str) -> Message:
    """What the client tells before the conversation."""
    return Message.of(Role.SYSTEM, text)


def assistant(text: str) -> Message:
    """An answer."""
    return Message.of(Role.ASSISTANT, text)


def prompt(rule: Rule, between: str = "the conversation") -> str:
    """A prompt as this rule's client would write it."""
    return f"{rule.begins} more words\n{between}\n{rule.holds}\n{between}\n{rule.ends}"


def request_of(speaker: Role, text: str) -> list[Message]:
    """The messages with which a client sends this prompt."""
    if speaker is Role.SYSTEM:
        return [system(text), user("How do I bake bread?")]
    return [system("Be brief."), user("How do I bake bread?"), assistant("Slowly."), user(text)]


@pytest.mark.parametrize(
    "text",
    [
        TITLE,
        f"### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n{HISTORY}",
        "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, and others.\n" + HISTORY,
        "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might ask next.\n" + HISTORY,
        "### Task:\nAnalyze the chat history to determine the necessity of generating search queries.\n" + HISTORY,
        "### Task:\nYou are an autocompletion system. Continue the text in `<text>` by its type.\n#### Output:\n",
        "### Task:\nGenerate a detailed prompt for am image generation task based on the given language and context.",
        "Your task is to reflect the speaker's likely facial expression through a fitting emoji.\n\nMessage: ```Hi```",
    ],
)
def test_the_tasks_of_open_webui_are_background_calls(text: str) -> None:
    """It sends each as the only message."""
    assert is_background_call([user(text)])


def test_pictures_hide_no_background_call() -> None:
    """Of the history that a client sends along, or beside a system text."""
    picture = FilePart(Remote("https://a.example/"), "messages.0.content.1", image=True)
    shown = Message(Role.USER, (TextPart("What is this?"), picture))
    assert is_background_call([shown, assistant("Bread."), user(TITLE)])
    named = Message(Role.SYSTEM, (picture, TextPart(NAMED)))
    assert is_background_call([named, user("How do I bake bread?")])


def test_a_picture_with_a_word_is_a_person_s() -> None:
    """Nothing tells of a program."""
    picture = FilePart(Remote("https://a.example/"), "messages.0.content.1", image=True)
    assert not is_background_call([Message(Role.USER, (picture,))])
    assert not is_background_call([Message(Role.USER, (picture, TextPart("What is the title of this?")))])


@pytest.mark.parametrize("key", ["title", "tags", "follow_ups", "queries", "prompt"])
def test_a_reworded_task_of_open_webui_is_known_by_its_frame(key: str) -> None:
    """An owner who writes it in another language keeps the heading, the JSON key and the history."""
    text = f'### Task:\nSchreibe etwas Kurzes zum Gespräch.\n### Output:\nJSON: {{ "{key}": "…" }}\n{HISTORY}\n'
    assert is_background_call([user(text)])


@pytest.mark.parametrize(
    "text",
    [
        "### Task:\nGive this conversation a short title.",
        "### Task: Suggest three follow-up questions.\n\nConversation so far:\nUser: How is bread baked?",
        "### Task:\nName two tags.\n### Chat History:\nThe chat history is below.\nUser: How is bread baked?",
    ],
)
def test_a_task_is_known_by_what_it_is_about(text: str) -> None:
    """Owners reword the templates; what they ask for, and of what, stays."""
    assert is_background_call([user(text)])


def test_a_reworded_autocompletion_is_known_by_its_frame() -> None:
    """It ends with the text that it shall complete and a heading."""
    assert is_background_call([user('### Task:\nSchreibe weiter: `{ "text": "" }`\n<text>Ich</text>\n#### Output:\n')])


def test_the_choice_of_a_tool_is_a_background_call() -> None:
    """Open WebUI asks for it before it asks for the answer; the list of the tools may be long."""
    tools = '[{"name": "clock"}]' * 1000
    text = (
        f"Available Tools: {tools}\n\n"
        "Your task is to choose and return the correct tool(s) from the list of available tools based on the query."
    )
    assert is_background_call([system(text), user("Query: History:\nUSER: How late is it?")])


@pytest.mark.parametrize(
    "question",
    ["How is bread baked?", TITLE, f'Why does this fail? {{ "title": "Bread" }}\n{HISTORY}'],
)
def test_an_answer_from_documents_is_a_persons(question: str) -> None:
    """Open WebUI frames the question like its tasks, whatever the question is."""
    assert not is_background_call([user(RAG + question)])


@pytest.mark.parametrize(
    "text",
    [
        "### Task:\nAnswer from these papers only.\n<context>A loaf.</context>\nHow is bread baked?",
        '### Task:\nAnswer as JSON: { "title": "…" }\n<context>A loaf.</context>\nHow is bread baked?',
        f"### Task:\nAnswer from what we said before.\n{HISTORY}",
        "### Task:\nGenerate a concise title for my essay on bread.",
        "### Task:\nGenerate a concise, 3-5 word title for my shop.",
        "### Task:\nGenerate a detailed prompt for a painting of bread.",
    ],
)
def test_the_heading_alone_says_nothing(text: str) -> None:
    """People write such headings, too, and owners reword the template for documents."""
    assert not is_background_call([user(text)])


@pytest.mark.parametrize("rule", BY_NAME)
def test_each_prompt_is_known_where_its_client_puts_it(rule: Rule) -> None:
    """And only there: a person may quote a system prompt, a system prompt may quote a person."""
    other = Role.SYSTEM if rule.speaker is Role.USER else Role.USER
    sent_as_both = replace(rule, speaker=other) in RULES
    assert is_background_call(request_of(rule.speaker, prompt(rule)))
    assert is_background_call(request_of(other, prompt(rule))) is sent_as_both


@pytest.mark.parametrize("rule", BY_NAME)
def test_each_prompt_is_known_however_it_is_wrapped(rule: Rule) -> None:
    """Clients indent their prompts and change the lines."""
    wrapped = "\n\n    " + prompt(rule).replace(" ", "\n    ") + "\n"
    assert is_background_call(request_of(rule.speaker, wrapped))


@pytest.mark.parametrize("rule", BY_NAME)
def test_each_prompt_is_a_persons_when_it_is_quoted(rule: Rule) -> None:
    """Whoever asks about a prompt has words of one's own around it."""
    quoted = f"What does this prompt do?\n{prompt(rule)}\nI found it in a log."
    assert not is_background_call(request_of(rule.speaker, quoted))


@pytest.mark.parametrize("rule", BY_NAME)
def test_each_prompt_has_an_edge_that_no_person_writes(rule: Rule) -> None:
    """Its marks are long, and one of them stands at the very beginning or end."""
    assert rule.begins or rule.ends
    assert len((rule.begins + rule.holds + rule.ends).encode()) >= len('### Task:"text":#### Output:')
    assert not prompt(rule).startswith(ANSWERS)


@pytest.mark.parametrize("rule", BY_NAME)
def test_each_mark_is_written_plainly(rule: Rule) -> None:
    """With single spaces, as the text with which it is compared."""
    for mark in (rule.begins, rule.holds, rule.ends):
        assert mark == " ".join(mark.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Generate a title for my essay",
        "Generate a concise 3-7 word title for this conversation.",
        "Please write a 5-10 word title for the following conversation: Anna: Hi. Ben: Hi.",
        "Summarize the conversation into a title in French",
        "Summarize in a 10-word Title: bread is baked slowly.",
        "Write a concise title for this conversation in the style of a tabloid.",
        "Suggest 3-5 relevant follow-up questions for my interview.",
        "Analyze this conversation and provide: 1. The mood 2. A concise title",
        "Here is the query: SELECT title FROM books. Create a concise, 3-5 word phrase for it.",
        "Follow Up Input: is a column of our form. What does it mean?",
        "Reply with a word, reply *ONLY* with the description",
        "请用四到五个字总结这句话的主题",
        'Why does Open WebUI send "### Task: Generate a concise title summarizing the chat history."?',
    ],
)
def test_a_person_who_speaks_of_titles_is_a_person(text: str) -> None:
    """Otherwise the conversation, thinking and search would be lost."""
    assert not is_background_call([user(text)])
    assert not is_background_call([system(text), user("Go on.")])


def test_only_the_last_message_of_the_user_counts() -> None:
    """Someone may have tried a client's prompt before."""
    assert is_background_call([user("Hello"), assistant("Hi"), user(TITLE)])
    assert not is_background_call([user(TITLE), assistant('{ "title": "Bread" }'), user("And rolls?")])


def test_a_begun_answer_does_not_hide_the_prompt() -> None:
    """Some clients begin the JSON themselves."""
    assert is_background_call([user(TITLE), assistant("{")])


@pytest.mark.parametrize("role", [Role.ASSISTANT, Role.TOOL])
def test_what_others_say_never_counts(role: Role) -> None:
    """An answer or a page may quote any prompt."""
    said = [Message.of(role, TITLE), Message.of(role, NAMED)]
    assert not is_background_call([user("Show me such a prompt."), *said])
    assert not is_background_call([*said, user("What is this?")])


def test_a_system_prompt_may_follow_another() -> None:
    """As a further message, or as a further part of one, as coding agents send it."""
    first = "You are Claude Code, Anthropic's official CLI for Claude."
    parts = Message(Role.SYSTEM, (TextPart(first), TextPart(NAMED)))
    assert is_background_call([system(first), system(NAMED), user("say ok")])
    assert is_background_call([parts, user("say ok")])


def test_system_messages_count_at_the_opening_only() -> None:
    """Later ones are remarks on the conversation, and there may be many parts."""
    filler = [system("Be brief.")] * MAX_SYSTEM_PARTS
    assert not is_background_call([user("Hello"), system(NAMED), user("say ok")])
    assert is_background_call([*filler[1:], system(NAMED), user("say ok")])
    assert not is_background_call([*filler, system(NAMED), user("say ok")])


def test_nothing_is_no_background_call() -> None:
    """Nor is a request without a word of the user."""
    assert not is_background_call([])
    assert not is_background_call([assistant(TITLE)])


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.holds and rule.begins])
def test_only_the_edges_of_a_long_text_are_looked_at(rule: Rule) -> None:
    """What stands in its middle is the conversation, which may hold anything."""
    far = "x" * LOOK
    in_the_middle = f"{rule.begins} {far} {rule.holds} {far} {rule.ends}"
    at_the_end = f"{rule.begins} {far * 500} {rule.holds} {rule.ends}"
    assert not is_background_call(request_of(rule.speaker, in_the_middle))
    assert is_background_call(request_of(rule.speaker, at_the_end))


@given(st.text(), st.sampled_from(RULES))
def test_a_text_of_ones_own_is_never_a_background_call(text: str, rule: Rule) -> None:
    """Whatever a person writes around a prompt, with a word before it and a word after it."""
    own = f"Look: {text} {prompt(rule, text)} {text} is that so?"
    assert not is_background_call([system(own), user(own)])


@given(st.text(max_size=LOOK // 4), st.sampled_from(RULES))
def test_what_stands_between_the_marks_is_all_one(text: str, rule: Rule) -> None:
    """A client puts the conversation there, which may be anything."""
    assert is_background_call(request_of(rule.speaker, prompt(rule, text)))
