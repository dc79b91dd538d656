"""Runs in the official SDK's own environment: a plain and a streamed chat call through its registry
path.

Configured by its constructor and its environment variable alone; nothing of it is changed.  Reads
one JSON object from standard input (``registry_rpc``, ``registry``, ``private_key``), writes one to
standard output."""

import asyncio
import json
import sys

import opengradient as og


async def main() -> None:
    given = json.load(sys.stdin)
    llm = og.LLM(
        private_key=given["private_key"],
        rpc_url=given["registry_rpc"],
        tee_registry_address=given["registry"],
    )
    approval = llm.ensure_opg_approval(min_allowance=0.5)
    question = [{"role": "user", "content": given["question"]}]
    plain = await llm.chat(model=og.TEE_LLM.GPT_5, messages=question, max_tokens=60)
    stream = await llm.chat(model=og.TEE_LLM.GPT_5, messages=question, max_tokens=60, stream=True)
    pieces, last = [], None
    async for chunk in stream:
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
        last = chunk
    tee = llm.resolve_tee_connection()
    await llm.close()
    assert last is not None
    json.dump(
        {
            "plain": plain.chat_output["content"],
            "plain_signature": plain.tee_signature,
            "usage": plain.usage,
            "streamed": "".join(pieces),
            "pieces": len(pieces),
            "stream_signature": last.tee_signature,
            "stream_usage": [last.usage.prompt_tokens, last.usage.completion_tokens]
            if last.usage
            else None,
            "is_final": last.is_final,
            "tee_id": tee.tee_id,
            "endpoint": tee.endpoint,
            "payment_address": tee.payment_address,
            "approval_transaction": approval.tx_hash,
            "allowance": approval.allowance_after,
        },
        sys.stdout,
    )


asyncio.run(main())
