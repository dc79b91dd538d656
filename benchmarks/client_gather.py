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
    print(json.dumps(await asked(client, told["model"], told["rows"], told["at_once"])))


async def asked(
    client: openai.AsyncOpenAI, model: str, rows: int, at_once: int
) -> dict[str, float]:
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
    begun, cpu = time.perf_counter(), time.process_time()
    answers = await asyncio.gather(*(one(f"Is {n} composite?") for n in range(rows)))
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    assert all(answers)
    return {"seconds": took, "cpu": used}


if __name__ == "__main__":
    asyncio.run(main())
