"""opg_magic as a worker (see workers.py): the whole engine, with its checks, receipt and ledger."""

import json
import sys
import time


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    from opg_magic.call.session import current_session
    from opg_magic.call.state import CallOptions
    from opg_magic.models import Progress, Prompt

    session = current_session()
    options = CallOptions(host=setup["tee_id"], route=setup.get("route"))

    def call(stream: bool) -> dict[str, float]:
        first: list[float] = []

        def observe(progress: Progress) -> None:
            if progress.text and not first:
                first.append(time.perf_counter())

        prompt = Prompt(
            text=setup["prompt"],
            model=setup["model"],
            max_tokens=100,
            temperature=0.0,
            stream=stream,
        )
        began = time.perf_counter()
        answer = session.ask(prompt, options, observe)
        ended = time.perf_counter()
        assert answer.text
        assert answer.verdict.label == "SIMULATED"
        return {
            "first_ms": ((first or [ended])[0] - began) * 1000,
            "total_ms": (ended - began) * 1000,
        }

    call(False)
    call(True)
    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        print(json.dumps(call(json.loads(line)["stream"])), flush=True)
    session.close()


main()
