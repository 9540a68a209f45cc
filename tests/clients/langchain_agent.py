"""LangChain's `bind_tools`, streamed and not: prints the last answer and the calls as JSON.

python langchain_agent.py BASE_URL KEY whole|stream
"""

import json
import sys

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def find_city(person: str) -> str:
    """Find the city that a person lives in."""
    return f"Home of {person}"


@tool
def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city} for {days} days"


TOOLS = {"find_city": find_city, "weather": weather}


def main(base_url: str, key: str, how: str) -> None:
    """Work until the model answers in words."""
    model = ChatOpenAI(model="kimi", base_url=base_url, api_key=key, max_retries=0).bind_tools(list(TOOLS.values()))
    messages: list[BaseMessage] = [HumanMessage("How is the weather where Ann lives?")]
    calls = []
    while True:
        answer = _streamed(model, messages) if how == "stream" else model.invoke(messages)
        messages.append(answer)
        assert not answer.invalid_tool_calls
        if not answer.tool_calls:
            break
        for call in answer.tool_calls:
            calls.append([call["name"], call["args"]])
            result = TOOLS[call["name"]].invoke(call["args"])
            messages.append(ToolMessage(result, tool_call_id=call["id"]))
    print(json.dumps({"answer": answer.content, "calls": calls}))


def _streamed(model: Runnable, messages: list[BaseMessage]) -> AIMessage:
    whole = None
    for chunk in model.stream(messages):
        whole = chunk if whole is None else whole + chunk
    return AIMessage(whole.content, tool_calls=whole.tool_calls, invalid_tool_calls=whole.invalid_tool_calls)


if __name__ == "__main__":
    main(*sys.argv[1:4])
