"""`make demo`: the service on the emulator, and an answer streamed through the openai SDK."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from openai import OpenAI

from emulator import client as emulator
from scripts.serving import serving

QUESTION = "Hello! What are you?"


def main() -> None:
    """Start both, ask, print the answer as it arrives, stop both."""
    with emulator.start() as kimi:
        account = kimi.account("demo")
        settings = {"KIMI_WEB_URL": kimi.base_url, "KIMI_AUTH_URL": kimi.base_url, "KIMI_LEGACY_URL": kimi.base_url}
        with serving(settings) as gateway:
            print(f"The gateway runs at {gateway.url}, on an emulator of Kimi: nothing leaves this machine.\n")
            print(f"> {QUESTION}")
            ask(f"{gateway.url}/v1", account.refresh_token)


def ask(base_url: str, token: str) -> None:
    """Stream one answer to the terminal, its thinking dimmed where that shows."""
    client = OpenAI(base_url=base_url, api_key=token, max_retries=0)
    dim, plain = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")
    stream = client.chat.completions.create(
        model="kimi-search-thinking",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    thought = False
    for chunk in stream:
        for choice in chunk.choices:
            thinking = getattr(choice.delta, "reasoning_content", None)
            if choice.delta.content and thought:
                print("\n")
            thought = bool(thinking)
            print(f"{dim}{thinking}{plain}" if thinking else choice.delta.content or "", end="", flush=True)
        if chunk.usage:
            asked, answered = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            print(f"\n\n({asked} tokens asked, {answered} answered: estimates)")


if __name__ == "__main__":
    main()
