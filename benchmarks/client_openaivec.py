"""As many prompts as a table has, by openaivec through ``opg serve``.  One row per request, so that
each answer has a receipt of its own; by default it packs many rows into one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import openai
import openaivec
import pandas as pd
from openaivec import pandas_ext  # noqa: F401  # gives a Series its ``aio``


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    key = Path(told["token_file"]).read_text().strip()
    openaivec.set_async_client(openai.AsyncOpenAI(base_url=told["url"], api_key=key))
    openaivec.set_responses_model(told["model"])

    async def asked(rows: pd.Series) -> pd.Series:
        # Its answers are JSON around the text, so they need more tokens.
        answers = await rows.aio.responses(
            "Answer the question.",
            batch_size=1,
            max_concurrency=told["at_once"],
            show_progress=False,
            temperature=0,
            max_output_tokens=100,
        )
        assert answers.str.len().gt(0).all()
        return answers

    await asked(pd.Series(["Is 97 prime?"]))
    rows = pd.Series([f"Is {n} prime?" for n in range(told["rows"])])
    begun, cpu = time.perf_counter(), time.process_time()
    await asked(rows)
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    print(json.dumps({"seconds": took, "cpu": used}))


if __name__ == "__main__":
    asyncio.run(main())
