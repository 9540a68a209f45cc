"""LangChain's chat models: ChatOpenAI, with Responses too, ChatAnthropic and ChatGoogleGenerativeAI."""

from cases import TASK, Order, find_city, perform, weather
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

TOOLS = {"find_city": tool(find_city), "weather": tool(weather)}


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


def model(order: Order) -> BaseChatModel:
    """A model as its documentation has it; retries are as they are by default."""
    match order.dialect:
        case "anthropic":
            return ChatAnthropic(model="kimi", base_url=order.base, api_key=order.key)
        case "gemini":
            return ChatGoogleGenerativeAI(model="kimi", base_url=order.base, api_key=order.key, max_retries=2)
    options = {"use_responses_api": True} if order.dialect == "responses" else {"stream_usage": True}
    return ChatOpenAI(model="kimi", base_url=f"{order.base}/v1", api_key=order.key, **options)


def text(order: Order) -> object:
    """A question with a system prompt."""
    answer = model(order).invoke([SystemMessage("Be brief."), HumanMessage("Hi")])
    return {"text": answer.text, "usage": answer.usage_metadata}


def streamed(order: Order) -> object:
    """The same, in pieces."""
    whole, pieces = _streamed(model(order), [HumanMessage("Hi")])
    return {"pieces": pieces, "usage": whole.usage_metadata}


def talk(order: Order) -> object:
    """Two questions; the answer to the first goes with the second."""
    messages: list[BaseMessage] = [HumanMessage("Who are you?")]
    messages += [model(order).invoke(messages), HumanMessage("And who am I?")]
    return {"texts": [messages[1].text, model(order).invoke(messages).text]}


def tools(order: Order) -> object:
    """Work with `bind_tools` until the model answers in words."""
    return _work(model(order).bind_tools(list(TOOLS.values())), streaming=False)


def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    return _work(model(order).bind_tools(list(TOOLS.values())), streaming=True)


def image(order: Order) -> object:
    """An image beside the question, in LangChain's own form."""
    block = {"type": "image", "base64": order.image, "mime_type": "image/png"}
    return {"text": model(order).invoke([HumanMessage([{"type": "text", "text": "What is it?"}, block])]).text}


def typed(order: Order) -> object:
    """An object by a schema."""
    return {"object": _forecast(order, "json_schema")}


def typed_by_tool(order: Order) -> object:
    """An object by a tool that has to be called."""
    return {"object": _forecast(order, "function_calling")}


def _forecast(order: Order, method: str) -> object:
    return model(order).with_structured_output(Forecast, method=method).invoke(TASK).model_dump()


def _work(model: Runnable, *, streaming: bool) -> object:
    messages: list[BaseMessage] = [HumanMessage(TASK)]
    calls = []
    while True:
        answer = _streamed(model, messages)[0] if streaming else model.invoke(messages)
        messages.append(answer)
        assert not answer.invalid_tool_calls
        if not answer.tool_calls:
            return {"text": answer.text, "calls": calls}
        for call in answer.tool_calls:
            calls.append([call["name"], call["args"]])
            result = TOOLS[call["name"]].invoke(call["args"])
            messages.append(ToolMessage(result, tool_call_id=call["id"]))


def _streamed(model: Runnable, messages: list[BaseMessage]) -> tuple[AIMessage, list[str]]:
    chunks = list(model.stream(messages))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole, [chunk.text for chunk in chunks if chunk.text]


if __name__ == "__main__":
    perform(text, streamed, talk, tools, streamed_tools, image, typed, typed_by_tool)
