"""Answers whose words depend on the conversation: its digest, or what a model does that has read it."""

from collections.abc import Sequence
from dataclasses import replace

from emulator.act import Act, Puzzled, perform
from emulator.answers import Answer
from emulator.chats import Message
from emulator.echo import context_digest
from emulator.files import FileShelf
from emulator.tool_syntax import learn, results


def in_context(answer: Answer, messages: Sequence[Message], account: str, files: FileShelf) -> Answer:
    """Give an answer the words that it comes to after these messages, the new one last."""
    if answer.echo_context:
        return replace(answer, text=context_digest(item.text for item in messages if item.role != "system"))
    if answer.act is not None:
        return _acted(answer, answer.act, [_read(item, account, files) for item in messages if item.role == "user"])
    return answer


def _acted(answer: Answer, act: Act, asked: Sequence[Sequence[str]]) -> Answer:
    """Do what was ordered; a puzzled model says so in its text, where a test will see it."""
    try:
        given = [result for text in asked[-1] for result in results(text)]
        words = perform(act, learn([text for texts in asked for text in texts]), given)
    except Puzzled as puzzled:
        return replace(answer, text=str(puzzled))
    if act.in_thinking:
        return replace(answer, text="", thinking="\n".join(filter(None, (answer.thinking, words))))
    return replace(answer, text=words)


def _read(message: Message, account: str, files: FileShelf) -> list[str]:
    """Give what a message holds to read: its files as far as they are small texts, then its own text."""
    named = [files.find(file_id, account) for file_id in message.files]
    return [*(file.text for file in named if file is not None and file.text is not None), message.text]
