"""Runs in the official SDK's own environment: plain and streamed calls through the relay.

``ConfidentialLLM`` and ``OhttpRelayClient`` as they are; nothing of them is changed.  Reads one
JSON object from standard input, writes one to standard output."""

import json
import sys

import opengradient as og
from opengradient.client import OhttpRelayClient

# Under Python 3.11 the SDK sends its own enumeration as "TEE_LLM.GPT_5", so the name goes in.
MODEL = "openai/gpt-5"

given = json.load(sys.stdin)
llm = og.ConfidentialLLM(
    relay_url=given["relay"],
    rpc_url=given["registry_rpc"],
    registry_address=given["registry"],
    auth_headers=lambda: {"Authorization": f"Bearer {given['token']}"},
)
question = [{"role": "user", "content": given["question"]}]
plain = llm.chat(model=MODEL, messages=question, max_tokens=60)
stream = llm.chat(model=MODEL, messages=question, max_tokens=60, stream=True)
tools = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
asked = [{"role": "user", "content": "What is the weather in Paris?"}]
called = [
    llm.chat(model=MODEL, messages=asked, max_tokens=60, tools=tools, stream=streamed)
    for streamed in (False, True)
]
# The client below it, at the relay's whole URL.
client = OhttpRelayClient(
    f"{given['relay']}/api/v1/chat/ohttp",
    llm.tee,
    auth_headers=lambda: {"Authorization": f"Bearer {given['token']}"},
)
body = {"model": MODEL.partition("/")[2], "messages": question, "max_tokens": 60}
below = client.chat_completion(body), client.stream_chat_completion({**body, "stream": True})
json.dump(
    {
        "below": [one.content for one in below],
        "plain": plain.content,
        "streamed": stream.content,
        "frames": len(stream.stream_frames),
        "called": [one.content for one in called],
        "tee_ids": [plain.proof.tee_id, stream.proof.tee_id],
        "host": llm.tee.tee_id,
    },
    sys.stdout,
)
