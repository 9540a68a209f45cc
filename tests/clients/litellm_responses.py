"""litellm's `responses()`, which speaks the Responses dialect where the provider is OpenAI's."""

import json

import litellm
from cases import TASK, Order, find_city, weather
from pydantic import BaseModel

RUN = {"find_city": find_city, "weather": weather}
TOOLS = [
    {
        "type": "function",
        "name": "find_city",
        "description": "Find the city that a person lives in.",
        "parameters": {"type": "object", "properties": {"person": {"type": "string"}}, "required": ["person"]},
    },
    {
        "type": "function",
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
]


MODEL = "openai/gpt-4o"
"""litellm streams a model of Responses only where it knows the name; of others it asks for the whole answer."""


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


def respond(order: Order, asked: object, path: str = "/v1", **options: object) -> object:
    """Ask for an answer."""
    return litellm.responses(model=MODEL, api_base=order.base + path, api_key=order.key, input=asked, **options)


def text(order: Order) -> object:
    """A question with a system prompt."""
    answer = respond(order, "Hi", instructions="Be brief.")
    return {"text": answer.output_text, "usage": _usage(answer.usage)}


def streamed(order: Order) -> object:
    """The same, in pieces."""
    events = list(respond(order, "Hi", stream=True))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    return {"pieces": pieces, "usage": _usage(events[-1].response.usage)}


def bases(order: Order) -> object:
    """The same with every address that people type."""
    return {"texts": [respond(order, "Hi", path).output_text for path in ("", "/v1", "/v1beta")]}


def talk(order: Order) -> object:
    """Two questions; the second one refers to the answer to the first by its id."""
    first = respond(order, "Who are you?")
    second = respond(order, "And who am I?", previous_response_id=first.id)
    return {"texts": [first.output_text, second.output_text]}


def tools(order: Order) -> object:
    """Work with the tools until the model answers in words."""
    return _work(order, streaming=False)


def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    return _work(order, streaming=True)


def image(order: Order) -> object:
    """An image beside the question."""
    parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": order.image_url}]
    return {"text": respond(order, [{"role": "user", "content": parts}]).output_text}


def typed(order: Order) -> object:
    """An object by a schema."""
    return {"object": json.loads(respond(order, TASK, text_format=Forecast).output_text)}


def _usage(usage: object) -> object:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _work(order: Order, *, streaming: bool) -> object:
    history: list[object] = [{"role": "user", "content": TASK}]
    calls = []
    while True:
        answer = respond(order, history, tools=TOOLS, stream=streaming)
        if streaming:
            answer = list(answer)[-1].response
        history += answer.output
        called = [item for item in answer.output if item.type == "function_call"]
        if not called:
            return {"text": answer.output_text, "calls": calls}
        for call in called:
            arguments = json.loads(call.arguments)
            calls.append([call.name, arguments])
            result = RUN[call.name](**arguments)
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": result})


CASES = [text, streamed, bases, talk, tools, streamed_tools, image, typed]
