"""Agents of pydantic-ai over its four models: OpenAI's two, Anthropic's and Google's."""

from collections.abc import AsyncIterable

from cases import TASK, Order, find_city, perform, weather
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, PartDeltaEvent, RunContext, ToolCallPart
from pydantic_ai.messages import ModelMessage, TextPartDelta
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


def model(order: Order, name: str = "kimi") -> Model:
    """A model as its documentation has it; retries are as they are by default."""
    match order.dialect:
        case "anthropic":
            return AnthropicModel(name, provider=AnthropicProvider(base_url=order.base, api_key=order.key))
        case "gemini":
            return GoogleModel(name, provider=GoogleProvider(base_url=order.base, api_key=order.key))
    kind = OpenAIResponsesModel if order.dialect == "responses" else OpenAIChatModel
    return kind(name, provider=OpenAIProvider(base_url=f"{order.base}/v1", api_key=order.key))


async def text(order: Order) -> object:
    """A question with a system prompt."""
    run = await Agent(model(order), instructions="Be brief.").run("Hi")
    return {"text": run.output, "usage": _usage(run.usage)}


async def streamed(order: Order) -> object:
    """The same, in pieces."""
    async with Agent(model(order)).run_stream("Hi") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
        return {"pieces": pieces, "usage": _usage(run.usage)}


async def talk(order: Order) -> object:
    """Two questions; the answer to the first goes with the second."""
    agent = Agent(model(order))
    first = await agent.run("Who are you?")
    second = await agent.run("And who am I?", message_history=first.all_messages())
    return {"texts": [first.output, second.output]}


async def tools(order: Order) -> object:
    """Let the agent work with its tools until the model answers in words."""
    run = await Agent(model(order), tools=[find_city, weather]).run(TASK)
    return {"text": run.output, "calls": _calls(run.all_messages())}


async def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    pieces: list[str] = []

    async def listen(_: RunContext[None], events: AsyncIterable[object]) -> None:
        deltas = [event.delta async for event in events if isinstance(event, PartDeltaEvent)]
        pieces.extend(delta.content_delta for delta in deltas if isinstance(delta, TextPartDelta))

    run = await Agent(model(order), tools=[find_city, weather]).run(TASK, event_stream_handler=listen)
    assert pieces
    return {"text": run.output, "calls": _calls(run.all_messages())}


async def image(order: Order) -> object:
    """An image beside the question."""
    picture = BinaryContent(order.image_bytes, media_type="image/png")
    return {"text": (await Agent(model(order)).run(["What is it?", picture])).output}


async def typed(order: Order) -> object:
    """An object by a schema; pydantic-ai asks for that only where it knows the model of Anthropic's."""
    name = "claude-sonnet-4-5" if order.dialect == "anthropic" else "kimi"
    return {"object": await _forecast(model(order, name), NativeOutput(Forecast))}


async def typed_by_tool(order: Order) -> object:
    """An object by a tool that has to be called, which is what agents do unless told otherwise."""
    return {"object": await _forecast(model(order), Forecast)}


async def _forecast(model: Model, kind: object) -> object:
    return (await Agent(model, output_type=kind).run(TASK)).output.model_dump()


def _usage(usage: object) -> object:
    usage = usage() if callable(usage) else usage
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _calls(messages: list[ModelMessage]) -> list[object]:
    parts = [part for message in messages for part in message.parts]
    return [[part.tool_name, part.args_as_dict()] for part in parts if isinstance(part, ToolCallPart)]


if __name__ == "__main__":
    perform(text, streamed, talk, tools, streamed_tools, image, typed, typed_by_tool)
