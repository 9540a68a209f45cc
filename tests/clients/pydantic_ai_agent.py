"""A pydantic-ai agent with two tools and a typed result: prints the result and the calls as JSON.

python pydantic_ai_agent.py BASE_URL KEY whole|stream
"""

import asyncio
import json
import sys

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Forecast(BaseModel):
    """The result of the task."""

    city: str
    rain: bool


CALLS: list[list[object]] = []


def find_city(person: str) -> str:
    """Find the city that a person lives in."""
    CALLS.append(["find_city", {"person": person}])
    return f"Home of {person}"


def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    CALLS.append(["weather", {"city": city, "days": days}])
    return f"Rain in {city} for {days} days"


async def main(base_url: str, key: str, how: str) -> None:
    """Let the agent work."""
    provider = OpenAIProvider(base_url=base_url, api_key=key)
    agent = Agent(OpenAIChatModel("kimi", provider=provider), output_type=Forecast, tools=[find_city, weather])
    task = "How is the weather where Ann lives?"
    if how == "stream":
        async with agent.run_stream(task) as run:
            output = await run.get_output()
    else:
        output = (await agent.run(task)).output
    print(json.dumps({"answer": output.model_dump(), "calls": CALLS}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
