"""The OpenAI Agents SDK with its two models: Chat Completions and Responses."""

import json

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from agents.items import ToolCallItem
from agents.result import RunResultBase
from cases import TASK, Order, find_city, perform, weather
from openai import AsyncOpenAI
from pydantic import BaseModel

TOOLS = [function_tool(find_city), function_tool(weather)]


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


def agent(order: Order, **options: object) -> Agent:
    """An agent as the documentation has it; retries are as they are by default."""
    kind = OpenAIResponsesModel if order.dialect == "responses" else OpenAIChatCompletionsModel
    client = AsyncOpenAI(base_url=f"{order.base}/v1", api_key=order.key)
    options.setdefault("name", "Assistant")
    return Agent(model=kind("kimi", openai_client=client), **options)


async def text(order: Order) -> object:
    """A question with a system prompt."""
    run = await Runner.run(agent(order, instructions="Be brief."), "Hi")
    return {"text": run.final_output, "usage": _usage(run)}


async def streamed(order: Order) -> object:
    """The same, in pieces."""
    run = Runner.run_streamed(agent(order, model_settings=ModelSettings(include_usage=True)), "Hi")
    events = [event.data async for event in run.stream_events() if event.type == "raw_response_event"]
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    return {"pieces": pieces, "usage": _usage(run)}


async def talk(order: Order) -> object:
    """Two questions; the answer to the first goes with the second."""
    first = await Runner.run(agent(order), "Who are you?")
    history = [*first.to_input_list(), {"role": "user", "content": "And who am I?"}]
    return {"texts": [first.final_output, (await Runner.run(agent(order), history)).final_output]}


async def tools(order: Order) -> object:
    """Let the agent work with its tools until the model answers in words."""
    run = await Runner.run(agent(order, tools=TOOLS), TASK)
    return {"text": run.final_output, "calls": _calls(run)}


async def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    run = Runner.run_streamed(agent(order, tools=TOOLS), TASK)
    async for _ in run.stream_events():
        pass
    return {"text": run.final_output, "calls": _calls(run)}


async def image(order: Order) -> object:
    """An image beside the question."""
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": order.image_url, "detail": "auto"},
    ]
    return {"text": (await Runner.run(agent(order), [{"role": "user", "content": parts}])).final_output}


async def typed(order: Order) -> object:
    """An object by a schema."""
    return {"object": (await Runner.run(agent(order, output_type=Forecast), TASK)).final_output.model_dump()}


async def handoff(order: Order) -> object:
    """One agent hands the task to another one."""
    other = agent(order, name="Weatherman", handoff_description="Knows the weather.")
    run = await Runner.run(agent(order, handoffs=[other]), TASK)
    return {"text": run.final_output, "by": run.last_agent.name}


def _usage(run: RunResultBase) -> object:
    usage = run.context_wrapper.usage
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _calls(run: RunResultBase) -> list[object]:
    calls = [item.raw_item for item in run.new_items if isinstance(item, ToolCallItem)]
    return [[call.name, json.loads(call.arguments)] for call in calls]


if __name__ == "__main__":
    perform(text, streamed, talk, tools, streamed_tools, image, typed, handoff)
