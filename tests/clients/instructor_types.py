"""instructor over four SDKs: the model answers with an object, by a tool that it has to call or as JSON."""

from collections.abc import Mapping
from typing import Literal

import instructor
from anthropic import Anthropic
from cases import TASK, Order, perform
from google import genai
from openai import OpenAI
from pydantic import BaseModel, Field

BY_TOOL = {
    "chat": instructor.Mode.TOOLS,
    "responses": instructor.Mode.RESPONSES_TOOLS,
    "anthropic": instructor.Mode.TOOLS,
    "gemini": instructor.Mode.TOOLS,
}


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


class Step(BaseModel):
    """What is to be done next."""

    action: Literal["find_city", "weather", "answer"]
    argument: str = Field(description="The person, the city, or the answer.")
    days: int | None = None


def client(order: Order, mode: instructor.Mode | None = None) -> instructor.Instructor:
    """A client as its documentation has it; retries are as they are by default."""
    mode = mode or BY_TOOL[order.dialect]
    match order.dialect:
        case "anthropic":
            return instructor.from_anthropic(Anthropic(base_url=order.base, api_key=order.key), mode=mode)
        case "gemini":
            options = {"base_url": order.base}
            return instructor.from_genai(genai.Client(api_key=order.key, http_options=options), mode=mode)
    return instructor.from_openai(OpenAI(base_url=f"{order.base}/v1", api_key=order.key), mode=mode)


def needed(order: Order) -> Mapping[str, object]:
    """Fields that a dialect asks for."""
    return {"max_tokens": 1024} if order.dialect == "anthropic" else {}


def typed_by_tool(order: Order) -> object:
    """An object by a tool that has to be called, which is what instructor does unless told otherwise."""
    return {"object": _forecast(order)}


def typed(order: Order) -> object:
    """An object as JSON that is asked for."""
    return {"object": _forecast(order, instructor.Mode.JSON)}


def typed_by_schema(order: Order) -> object:
    """An object as JSON that has to fit a schema."""
    return {"object": _forecast(order, instructor.Mode.JSON_SCHEMA)}


def partial(order: Order) -> object:
    """An object that grows while it is streamed."""
    create = client(order).chat.completions.create_partial
    asked = [{"role": "user", "content": TASK}]
    states = list(create(model="kimi", messages=asked, response_model=Forecast, **needed(order)))
    return {"object": states[-1].model_dump()}


def image(order: Order) -> object:
    """An image beside the question."""
    content = ["What is it?", instructor.Image.from_base64(order.image_url)]
    return {"object": _forecast(order, content=content)}


def steps(order: Order) -> object:
    """One object for each step, until the model answers."""
    messages = [{"role": "user", "content": TASK}]
    create = client(order).chat.completions.create
    calls = []
    while True:
        step = create(model="kimi", messages=messages, response_model=Step, **needed(order))
        if step.action == "answer":
            return {"text": step.argument, "calls": calls}
        calls.append([step.action, step.argument])
        result = f"Home of {step.argument}" if step.action == "find_city" else f"Rain in {step.argument}"
        messages += [
            {"role": "model" if order.dialect == "gemini" else "assistant", "content": step.model_dump_json()},
            {"role": "user", "content": f"The result is: {result}"},
        ]


def _forecast(order: Order, mode: instructor.Mode | None = None, content: object = TASK) -> object:
    create = client(order, mode).chat.completions.create
    asked = [{"role": "user", "content": content}]
    return create(model="kimi", messages=asked, response_model=Forecast, **needed(order)).model_dump()


if __name__ == "__main__":
    perform(typed_by_tool, typed, typed_by_schema, partial, image, steps)
