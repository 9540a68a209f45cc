"""Recognises the requests that a chat client makes by itself: names, tags, follow-up questions, search queries.

Each rule is a fact about one client's own prompt: the shortest piece of it that no person would write. To take a
person's message for such a call costs that person the conversation, search and thinking, while to miss a call costs
a little quota; so a rule asks for the very beginning or end of a message, and what is not sure has no rule.
Only the head and the tail of a text are looked at, so a long message costs no more than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from app.chat.request import Message, Role, TextPart

LOOK = 2000
"""How many characters of a text are looked at, at its beginning and at its end."""

MAX_SYSTEM_PARTS = 8
"""How many parts of the opening system messages are looked at: clients put their task into the first few."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One prompt of one client; every mark that is given must be found, with any white space between its words.

    `speaker` USER means the last message of the user, SYSTEM one part of the system messages at the opening.
    `begins` and `ends` stand at the very edges of the text, `holds` somewhere in its head or tail.
    """

    client: str
    speaker: Role
    begins: str = ""
    ends: str = ""
    holds: str = ""

    def fits(self, head: str, tail: str) -> bool:
        """Whether these edges of a text have all marks."""
        return head.startswith(self.begins) and tail.endswith(self.ends) and (self.holds in head or self.holds in tail)


ANSWERS = (
    # open-webui/open-webui backend/open_webui/config.py, DEFAULT_RAG_TEMPLATE: a person's question and its sources
    "### Task: Respond to the user query",
)
"""Beginnings of real answers that look like a background call."""

CUSTOM_TASKS = (
    ("</chat_history>", '"title":'),
    ("</chat_history>", '"tags":'),
    ("</chat_history>", '"follow_ups":'),
    ("</chat_history>", '"queries":'),
    ("</chat_history>", '"prompt":'),
    ("#### Output:", '"text":'),
)
"""End and JSON key of Open WebUI's tasks: what an owner who rewords a template has to leave as it is."""

TASK = "### Task:"
TASK_WORDS = ("title", "tag", "follow-up", "follow_up", "search quer", "autocomplet", "emoji")
TASK_MATTER = ("chat history", "chat_history", "conversation")
"""What Open WebUI's tasks are about, however they are worded: their first sentence names one of the words, and they
speak of the conversation, which a person who writes such a heading has no need to do."""

_FIRST_SENTENCE = 200

RULES = (
    # open-webui/open-webui backend/open_webui/config.py, DEFAULT_*_PROMPT_TEMPLATE; routers/tasks.py sends each as
    # the only message. The title's wording has changed over the years, the image prompt's has a slip of the pen.
    Rule("Open WebUI", Role.USER, "### Task: Generate a concise title summarizing the chat history."),
    Rule("Open WebUI", Role.USER, "### Task: Generate a concise, 3-5 word title", holds="summarizing the chat history"),
    Rule("Open WebUI", Role.USER, "### Task: Generate 1-3 broad tags categorizing the main themes of the chat history"),
    Rule("Open WebUI", Role.USER, "### Task: Suggest 3-5 relevant follow-up questions or prompts that the user might"),
    Rule("Open WebUI", Role.USER, "### Task: Analyze the chat history to determine the necessity of generating search"),
    Rule("Open WebUI", Role.USER, "### Task: You are an autocompletion system. Continue the text in `<text>`"),
    Rule(
        "Open WebUI",
        Role.USER,
        "### Task: Generate a detailed prompt for a",
        holds="image generation task based on the given language and context",
    ),
    *(Rule("Open WebUI", Role.USER, "### Task:", ends, key) for ends, key in CUSTOM_TASKS),
    Rule("Open WebUI", Role.USER, "Your task is to reflect the speaker's likely facial expression through a fitting"),
    # The same file, DEFAULT_TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE: the choice of a tool before the answer.
    Rule(
        "Open WebUI",
        Role.SYSTEM,
        "Available Tools:",
        holds="Your task is to choose and return the correct tool(s) from the list of available tools",
    ),
    # n4ze3m/page-assist src/services/title.ts, which has it from Open WebUI of 2024
    Rule(
        "Page Assist",
        Role.USER,
        "Here is the query:",
        holds="Create a concise, 3-5 word phrase as a title for the previous query.",
    ),
    Rule(
        "Page Assist",
        Role.USER,
        "Here is the conversation: --------------",
        holds="Create a concise, 3-5 word phrase as a title for this conversation.",
    ),
    # danny-avila/agents src/utils/title.ts: the methods completion and structured, and the wording of older versions
    Rule("LibreChat", Role.USER, "Provide a concise, 5-word-or-less title for the conversation, using"),
    Rule("LibreChat", Role.USER, "Analyze this conversation and provide: 1. The detected language of the conversation"),
    *(
        Rule(
            "LibreChat",
            speaker,
            "Write a concise title for this conversation in the",
            holds="Title in 5 Words or Less. No Punctuation or Quotation.",
        )
        for speaker in (Role.USER, Role.SYSTEM)
    ),
    # ChatGPTNextWeb/NextChat app/locales, Store.Prompt.Topic; app/store/chat.ts appends it to the conversation
    Rule("NextChat", Role.USER, "使用四到五个字直接返回这句话的简要主题，不要解释、不要标点"),
    Rule("NextChat", Role.USER, "使用四到五個字直接返回這句話的簡要主題，不要解釋、不要標點"),
    Rule("NextChat", Role.USER, "Please generate a four to five word title summarizing our conversation without any"),
    # lobehub/lobe-chat packages/prompts/src/chains: summaryTitle, pickEmoji, followUpAction, rewriteQuery
    Rule("Lobe Chat", Role.SYSTEM, "You are a professional conversation summarizer. Generate a concise title that"),
    Rule("Lobe Chat", Role.SYSTEM, "You are an emoji expert who selects the most appropriate emoji to represent"),
    Rule("Lobe Chat", Role.SYSTEM, "You are a sidecar that extracts 0-4 quick-reply suggestions from the last"),
    Rule("Lobe Chat", Role.USER, "Follow Up Input:", ends=", it's standalone query:"),
    # CherryHQ/cherry-studio src/renderer/src/config/prompts.ts (the first is Lobe Chat's of 2023, too) and the
    # prompts.title of its later versions
    Rule("Cherry Studio", Role.SYSTEM, "你是一名擅长会话的助理，你需要将用户的会话总结为 10 个字以内的标题"),
    Rule("Cherry Studio", Role.SYSTEM, "You are an assistant skilled in conversation. You need to summarize the"),
    Rule("Cherry Studio", Role.SYSTEM, "总结给出的会话，将其总结为语言为", holds="不要输出标题以外的内容"),
    Rule(
        "Cherry Studio",
        Role.SYSTEM,
        "Summarize the conversation into a title in",
        holds="Output only the title string without anything else.",
    ),
    # The same file, SEARCH_SUMMARY_PROMPT: the words for a search; its place is not confirmed, so both
    *(
        Rule("Cherry Studio", speaker, "You are an AI question rephraser. Your role is to rephrase follow-up queries")
        for speaker in (Role.USER, Role.SYSTEM)
    ),
    # chatboxai/chatbox src/renderer/packages/prompts.ts, now and in older versions
    Rule(
        "Chatbox",
        Role.USER,
        "Based on the chat history, give this conversation a name.",
        ends="Only give the name, nothing else. The name is:",
    ),
    *(
        Rule(
            "Chatbox",
            speaker,
            "Name the conversation based on the chat records.",
            holds="You only need to answer with the name.",
        )
        for speaker in (Role.USER, Role.SYSTEM)
    ),
    # enricoros/big-AGI src/modules/aifn/autotitle/autoTitle.ts
    Rule("big-AGI", Role.SYSTEM, "You are an AI conversation titles assistant who specializes in creating expressive"),
    # langgenius/dify api/core/llm_generator/prompts.py and llm_generator.py; the third stands below the history
    Rule("Dify", Role.USER, "You are asked to generate a concise chat title by decomposing the"),
    Rule("Dify", Role.USER, 'You need to decompose the user\'s input into "subject" and "intention" in order to'),
    Rule(
        "Dify",
        Role.USER,
        ends='["question1","question2","question3"] questions:',
        holds="predict the three most likely questions that human would ask",
    ),
    # continuedev/continue core/util/chatDescriber.ts
    Rule("Continue", Role.USER, "Given the following... please reply with a short summary that is 4-12 words"),
    # anomalyco/opencode packages/opencode/src/agent/prompt/title.txt
    Rule("OpenCode", Role.SYSTEM, "You are a title generator. You output ONLY a thread title."),
    # Claude Code has no public source: its traffic as many gateways have recorded it
    Rule("Claude Code", Role.SYSTEM, "Summarize this coding conversation in under 50 characters. Capture the main"),
    Rule("Claude Code", Role.SYSTEM, "Analyze if this message indicates a new conversation topic."),
    Rule("Claude Code", Role.SYSTEM, "Generate a concise, sentence-case title (3-7 words) that captures"),
    Rule("Claude Code", Role.USER, "[SUGGESTION MODE: Suggest what the user might naturally type next"),
    # Codex 0.169 and gemini-cli 0.61: what they were seen to send
    Rule("Codex", Role.USER, "Generate a concise, single-line task title of at most 36 characters and under five"),
    Rule("gemini-cli", Role.SYSTEM, "You are a specialized Task Routing AI. Your sole function is to analyze the"),
    Rule("gemini-cli", Role.SYSTEM, "You are a diagnostic agent that determines whether a conversational AI assistant"),
    Rule("gemini-cli", Role.USER, "Summarize the user's primary intent or goal in this conversation in ONE sentence"),
    # microsoft/vscode-copilot-chat src/extension/prompts/node/panel/title.tsx, then and now
    Rule("VS Code", Role.SYSTEM, "You are an expert in crafting pithy titles for chatbot conversations."),
    Rule("VS Code", Role.SYSTEM, "You are an expert in crafting ultra-compact titles for chatbot conversations."),
    # zed-industries/zed crates/agent_settings/src/prompts/summarize_thread_prompt.txt
    Rule("Zed", Role.USER, "Generate a concise 3-7 word title for this conversation, omitting punctuation. Go"),
    # block/goose crates/goose/src/providers/base.rs, create_session_name_prompt
    Rule(
        "Goose",
        Role.USER,
        ends="reply *ONLY* with the description",
        holds="provide a concise description of this session in 4 words or less.",
    ),
    # huggingface/chat-ui src/lib/server/textGeneration/title.ts
    Rule("HuggingChat", Role.SYSTEM, "You are a chat thread titling assistant. Goal: Produce a very short"),
    # vercel/ai-chatbot lib/ai/prompts.ts, from which many chats are made
    Rule("Vercel chatbot", Role.SYSTEM, "- you will generate a short title based on the first message a user begins"),
    # janhq/jan, summarizeFirstPrompt of the web application's first versions
    Rule(
        "Jan",
        Role.USER,
        'Summarize in a 10-word Title. Give the title only. Here is the message: "',
        ends='"',
    ),
)
"""All prompts that are known by heart; of those which a client's owner has reworded only Open WebUI's are known."""


def is_background_call(messages: Sequence[Message]) -> bool:
    """Whether a client asks this by itself, to name a conversation, tag it, continue it or search for it."""
    said = next((message.text for message in reversed(messages) if message.role is Role.USER), "")
    told = islice(_opening(messages), MAX_SYSTEM_PARTS)
    return _fits(Role.USER, said) or any(_fits(Role.SYSTEM, text) for text in told)


def _opening(messages: Sequence[Message]) -> Iterator[str]:
    """The parts of the system messages at the opening: some clients send several, or several parts in one."""
    system = takewhile(lambda message: message.role is Role.SYSTEM, messages)
    return (part.text for message in system for part in message.parts if isinstance(part, TextPart))


def _fits(speaker: Role, text: str) -> bool:
    head, tail = _plain(text[:LOOK]), _plain(text[-LOOK:])
    if head.startswith(ANSWERS):
        return False
    if speaker is Role.USER and _is_task(head, tail):
        return True
    return any(rule.fits(head, tail) for rule in RULES if rule.speaker is speaker)


def _is_task(head: str, tail: str) -> bool:
    first = head[:_FIRST_SENTENCE].lower()
    return (
        head.startswith(TASK)
        and any(word in first for word in TASK_WORDS)
        and any(matter in head.lower() or matter in tail.lower() for matter in TASK_MATTER)
    )


def _plain(text: str) -> str:
    """The words with one space between: clients indent and wrap the same prompt in many ways."""
    return " ".join(text.split())
