"""litellm as a client: one function, where the prefix of the model's name says which dialect is spoken."""

import json

import litellm
import litellm_responses
from cases import TASK, Order, find_city, perform, weather
from pydantic import BaseModel

RUN = {"find_city": find_city, "weather": weather}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_city",
            "description": "Find the city that a person lives in.",
            "parameters": {
                "type": "object",
                "properties": {"person": {"type": "string"}},
                "required": ["person"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    },
]
PROVIDERS = {"chat": "openai", "anthropic": "anthropic", "gemini": "gemini"}
PATHS = {"chat": "/v1", "anthropic": "", "gemini": "/v1beta"}


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


def complete(order: Order, messages: list[object], path: str | None = None, **options: object) -> object:
    """Ask for an answer; `path` is what stands behind the address, if not the usual."""
    return litellm.completion(
        model=f"{PROVIDERS[order.dialect]}/kimi",
        api_base=order.base + (PATHS[order.dialect] if path is None else path),
        api_key=order.key,
        messages=messages,
        **options,
    )


def user(content: object) -> dict[str, object]:
    """A message of the user's."""
    return {"role": "user", "content": content}


def text(order: Order) -> object:
    """A question with a system prompt."""
    answer = complete(order, [{"role": "system", "content": "Be brief."}, user("Hi")])
    return {"text": answer.choices[0].message.content, "usage": _usage(answer.usage)}


def streamed(order: Order) -> object:
    """The same, in pieces."""
    chunks = list(complete(order, [user("Hi")], stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    (usage,) = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    return {"pieces": [piece for piece in pieces if piece], "usage": _usage(usage)}


def bases(order: Order) -> object:
    """The same with every address that people type."""
    answers = [complete(order, [user("Hi")], path) for path in ("", "/v1", "/v1beta")]
    return {"texts": [answer.choices[0].message.content for answer in answers]}


def talk(order: Order) -> object:
    """Two questions; the answer to the first goes with the second."""
    first = complete(order, [user("Who are you?")]).choices[0].message
    second = complete(order, [user("Who are you?"), first, user("And who am I?")]).choices[0].message
    return {"texts": [first.content, second.content]}


def tools(order: Order) -> object:
    """Work with the tools until the model answers in words."""
    return _work(order, streaming=False)


def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    return _work(order, streaming=True)


def image(order: Order) -> object:
    """An image beside the question."""
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": order.image_url}}]
    return {"text": complete(order, [user(parts)]).choices[0].message.content}


def typed(order: Order) -> object:
    """An object by a schema."""
    answer = complete(order, [user(TASK)], response_format=Forecast)
    return {"object": json.loads(answer.choices[0].message.content)}


def _usage(usage: litellm.Usage) -> object:
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}


def _work(order: Order, *, streaming: bool) -> object:
    messages: list[object] = [user(TASK)]
    calls = []
    while True:
        answer = complete(order, messages, tools=TOOLS, stream=streaming)
        if streaming:
            answer = litellm.stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return {"text": message.content, "calls": calls}
        assert answer.choices[0].finish_reason == "tool_calls"
        for call in message.tool_calls:
            arguments = json.loads(call.function.arguments)
            calls.append([call.function.name, arguments])
            result = RUN[call.function.name](**arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    perform(
        text, streamed, bases, talk, tools, streamed_tools, image, typed, apart={"responses": litellm_responses.CASES}
    )
