"""The official SDK, unmodified, as a worker (see workers.py).  Runs in an environment of its
own."""

import asyncio
import json
import sys
import time


async def main() -> None:
    setup = json.loads(sys.stdin.readline())
    import opengradient as og

    # The SDK picks a host of the registry at random: begin again until it is the one that the
    # others use.
    for _ in range(200):
        llm = og.LLM(private_key=setup["key"], rpc_url=setup["registry_rpc"])
        if str(llm.resolve_tee_connection().tee_id).removeprefix("0x") == setup[
            "tee_id"
        ].removeprefix("0x"):
            break
        await llm.close()
    else:
        raise RuntimeError("the SDK never chose the wanted host")
    private = og.x402SettlementMode.PRIVATE
    messages = [{"role": "user", "content": setup["prompt"]}]

    async def call(stream: bool) -> dict[str, float]:
        began, first = time.perf_counter(), None
        if stream:
            async for chunk in await llm.chat(
                model=setup["model"], messages=messages, x402_settlement_mode=private, stream=True
            ):
                if first is None and chunk.choices and chunk.choices[0].delta.content:
                    first = time.perf_counter()
        else:
            result = await llm.chat(
                model=setup["model"], messages=messages, x402_settlement_mode=private
            )
            assert result.chat_output["content"]
        ended = time.perf_counter()
        return {"first_ms": ((first or ended) - began) * 1000, "total_ms": (ended - began) * 1000}

    await call(False)
    await call(True)
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await call(json.loads(line)["stream"])), flush=True)
    await llm.close()


asyncio.run(main())
