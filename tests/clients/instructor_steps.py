"""instructor: at each step the model chooses one of three types, by a tool it has to call or as JSON.

python instructor_steps.py BASE_URL KEY tools|json|schema
"""

import json
import sys
from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel, Field

MODES = {
    "tools": instructor.Mode.TOOLS,
    "json": instructor.Mode.JSON,
    "schema": instructor.Mode.JSON_SCHEMA,
}


class Step(BaseModel):
    """What is to be done next."""

    action: Literal["find_city", "weather", "answer"]
    argument: str = Field(description="The person, the city, or the answer.")
    days: int | None = None


def main(base_url: str, key: str, mode: str) -> None:
    """Work until the model answers."""
    client = instructor.from_openai(OpenAI(base_url=base_url, api_key=key, max_retries=0), mode=MODES[mode])
    messages = [{"role": "user", "content": "How is the weather where Ann lives?"}]
    calls = []
    for _ in range(5):
        step = client.chat.completions.create(model="kimi", messages=messages, response_model=Step, max_retries=0)
        if step.action == "answer":
            break
        calls.append([step.action, step.argument])
        result = f"Home of {step.argument}" if step.action == "find_city" else f"Rain in {step.argument}"
        messages += [
            {"role": "assistant", "content": step.model_dump_json()},
            {"role": "user", "content": f"The result is: {result}"},
        ]
    print(json.dumps({"answer": step.argument, "calls": calls}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
