"""The official SDK's ``ConfidentialLLM``, unmodified, as a worker (see workers.py).  Runs in an
environment of its own.

It hands nothing out of a streamed answer before its end, so that its first text is its last."""

import json
import sys
import time


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    import opengradient as og

    # The SDK picks a host of the registry at random: begin again until it is the one that the
    # others use.
    for _ in range(200):
        llm = og.ConfidentialLLM(
            relay_url=setup["relay"],
            rpc_url=setup["registry_rpc"],
            registry_address=setup["registry"],
            auth_headers=lambda: {"Authorization": f"Bearer {setup['token']}"},
        )
        if str(llm.tee.tee_id).removeprefix("0x") == setup["tee_id"].removeprefix("0x"):
            break
    else:
        raise RuntimeError("the SDK never chose the wanted host")
    messages = [{"role": "user", "content": setup["prompt"]}]

    def call(stream: bool) -> dict[str, float]:
        began = time.perf_counter()
        answer = llm.chat(model=setup["model"], messages=messages, max_tokens=100, stream=stream)
        assert answer.content
        took = (time.perf_counter() - began) * 1000
        return {"first_ms": took, "total_ms": took}

    call(False)
    call(True)
    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        print(json.dumps(call(json.loads(line)["stream"])), flush=True)


main()
