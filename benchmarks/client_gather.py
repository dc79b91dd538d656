"""As many prompts as a table has, by plain ``AsyncOpenAI`` and ``gather`` through ``opg serve``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import openai


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    key = Path(told["token_file"]).read_text().strip()
    client = openai.AsyncOpenAI(base_url=told["url"], api_key=key)
    seconds = await asked(client, told["model"], told["rows"], told["at_once"])
    print(json.dumps({"seconds": seconds}))


async def asked(client: openai.AsyncOpenAI, model: str, rows: int, at_once: int) -> float:
    turns = asyncio.Semaphore(at_once)

    async def one(text: str) -> str:
        async with turns:
            made = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": text}],
                max_tokens=20,
                temperature=0,
            )
        return str(made.choices[0].message.content)

    await one("Is -1 composite?")
    begun = time.perf_counter()
    answers = await asyncio.gather(*(one(f"Is {n} composite?") for n in range(rows)))
    took = time.perf_counter() - begun
    assert all(answers)
    return took


if __name__ == "__main__":
    asyncio.run(main())
