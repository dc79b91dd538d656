"""The plain ``openai`` client through ``opg serve`` as a worker (see workers.py): two processes, as
its users have it."""

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
    setup = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "token"
        serving = subprocess.Popen(
            [sys.executable, "-m", "opg_magic.shell.main", "serve", "--port", "0",
             "--token-file", str(file), "--host", setup["tee_id"], "--route", setup["route"]],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert serving.stdout is not None
        urls = (re.search(r"http://\S+", line) for line in serving.stdout)
        url = next(found[0] for found in urls if found)
        try:
            await answer(setup, openai.AsyncOpenAI(base_url=url, api_key=file.read_text().strip()))
        finally:
            serving.terminate()
            serving.wait(20)


async def answer(setup: dict[str, str], client: openai.AsyncOpenAI) -> None:
    messages = [{"role": "user", "content": setup["prompt"]}]

    async def call(stream: bool) -> dict[str, float]:
        began, first = time.perf_counter(), None
        made = await client.chat.completions.create(
            model=setup["model"], messages=messages, max_tokens=100, temperature=0, stream=stream
        )
        if stream:
            async for chunk in made:
                if first is None and chunk.choices and chunk.choices[0].delta.content:
                    first = time.perf_counter()
        else:
            assert made.opg["verdict"] == "SIMULATED"
        ended = time.perf_counter()
        return {"first_ms": ((first or ended) - began) * 1000, "total_ms": (ended - began) * 1000}

    await call(False)
    await call(True)
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await call(json.loads(line)["stream"])), flush=True)
    await client.close()


asyncio.run(main())
