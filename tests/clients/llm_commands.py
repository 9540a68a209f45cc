"""Simon Willison's `llm`, by its command line, with the gateway as a model of extra-openai-models.yaml.

The command itself runs once; all else is given to its function, because each start of Python takes a second or two.
"""

import io
import json
import os
import shlex
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

from cases import TASK, Order, perform
from llm.cli import cli

MODELS = """
- model_id: gw
  model_name: kimi
  api_base: {base}/v1
  api_key_name: kimi
  vision: true
  supports_schema: true
  supports_tools: true
  responses: {responses}
"""

FUNCTIONS = '''
def find_city(person: str) -> str:
    """Find the city that a person lives in."""
    return f"Home of {person}"

def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city} for {days} days"
'''


class Pieces(io.StringIO):
    """Standard output that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        """Take what is printed."""
        size = super().write(text)  # which refuses bytes: click tells the two kinds of streams apart by that
        self.written.append(text)
        return size


def settle(order: Order) -> None:
    """Put the model and the key into llm's home, where it finds them at each command."""
    home = Path(os.environ["LLM_USER_PATH"])
    home.mkdir(exist_ok=True)
    models = MODELS.format(base=order.base, responses=str(order.dialect == "responses").lower())
    (home / "extra-openai-models.yaml").write_text(models, encoding="utf-8")
    (home / "keys.json").write_text(json.dumps({"kimi": order.key}), encoding="utf-8")


def llm(command: str, *more: str) -> list[str]:
    """Do a command as it is typed; give what it prints, write by write. Failures are raised."""
    printed = Pieces()
    with redirect_stdout(printed):
        cli.main([*shlex.split(command), *more], standalone_mode=False)
    return printed.written


def command(order: Order) -> object:
    """The command itself."""
    settle(order)
    done = subprocess.run(
        ["llm", "-m", "gw", "Hi"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return {"text": done.stdout.strip(), "status": done.returncode}


def text(order: Order) -> object:
    """A question with a system prompt."""
    settle(order)
    return {"text": "".join(llm("-m gw --no-stream -s 'Be brief.' Hi")).strip(), "usage": _usage()}


def streamed(order: Order) -> object:
    """A question, answered in pieces."""
    settle(order)
    pieces = llm("-m gw Hi")
    return {"pieces": [piece for piece in pieces if piece.strip()], "usage": _usage()}


def talk(order: Order) -> object:
    """Two questions; the answer to the first goes with the second."""
    settle(order)
    texts = [llm("-m gw 'Who are you?'"), llm("-c 'And who am I?'")]
    return {"texts": ["".join(text).strip() for text in texts]}


def tools(order: Order) -> object:
    """Let llm work with functions until the model answers in words."""
    settle(order)
    return _worked("--no-stream")


def streamed_tools(order: Order) -> object:
    """The same, streamed."""
    settle(order)
    return _worked("")


def image(order: Order) -> object:
    """An image beside the question."""
    settle(order)
    path = Path(os.environ["LLM_USER_PATH"]) / "image.png"
    path.write_bytes(order.image_bytes)
    return {"text": "".join(llm("-m gw 'What is it?' -a", str(path))).strip()}


def typed(order: Order) -> object:
    """An object by a schema, in llm's own short form."""
    settle(order)
    return {"object": json.loads("".join(llm("-m gw --schema 'city, rain bool'", TASK)))}


def _usage() -> object:
    (logged,) = json.loads("".join(llm("logs -c --json")))
    return {name: logged[name] for name in ("input_tokens", "output_tokens")}


def _worked(how: str) -> object:
    answer = "".join(llm(f"-m gw {how} --functions", FUNCTIONS, TASK)).strip()
    logged = json.loads("".join(llm("logs -c --json -n 0")))
    calls = [[call["name"], call["arguments"]] for entry in logged for call in entry["tool_calls"]]
    return {"text": answer, "calls": calls}


if __name__ == "__main__":
    os.environ["LLM_USER_PATH"] = str(Path.home() / "llm")
    perform(command, text, streamed, talk, tools, streamed_tools, image, typed)
