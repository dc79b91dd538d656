"""As many prompts as a table has, by plain ``AsyncOpenAI`` and ``gather`` through ``opg serve``."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import openai


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "token"
        serving = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("serve_slow.py")),
                "--port",
                "0",
                "--token-file",
                str(file),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert serving.stdin is not None
        assert serving.stdout is not None
        serving.stdin.write(json.dumps(told["state"]) + "\n")
        serving.stdin.flush()
        urls = (re.search(r"http://\S+", line) for line in serving.stdout)
        url = next(found[0] for found in urls if found)
        try:
            client = openai.AsyncOpenAI(base_url=url, api_key=file.read_text().strip())
            seconds = await asked(client, told["model"], told["rows"], told["at_once"])
        finally:
            serving.terminate()
            serving.wait(20)
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
