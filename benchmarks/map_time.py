"""A table of prompts: how close to what the hosts allow it comes, and what a row takes in memory.

Three simulated hosts, 200 ms for each answer, 32 calls at once: at best 160 calls a second.  Every
answer is verified, recorded, and its receipt on the disk before it counts.  Beside it
``AsyncOpenAI`` and ``gather``, and openaivec, ask as many prompts of the same hosts through ``opg
serve``.

openaivec fetches its tokeniser from the network once (``TIKTOKEN_CACHE_DIR``)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from call_time import OURS
from figures import Figure, figure

HERE = Path(__file__).resolve().parent
OPENAIVEC = HERE.parent / ".venvs" / "bench-openaivec" / "bin" / "python"
ROWS, AT_ONCE, HOSTS, SECONDS = 1000, 32, 3, 0.2
#: Not asked of a host: only what the table itself keeps is of interest.
MANY = 100_000
#: Its price is known, and one cap carries a table.
MODEL = "openai/gpt-5-mini"


def measure(rounds: int = 3) -> list[Figure]:
    """Calls per second, and bytes per row."""
    rates: list[float] = []
    gathered: list[float] = []
    vectors: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        with slow_hosts() as (state, env):
            ask = {"state": state, "rows": ROWS, "hosts": HOSTS, "at_once": AT_ONCE}
            ours = client("client_map.py", ask | {"model": MODEL}, env)
            assert ours["failed"] == 0, ours
            rates.append(ROWS / ours["seconds"])
            again.append(ours["again"] * 1000 / ROWS)
            with served(state, env) as endpoint:
                told = endpoint | {"rows": ROWS, "at_once": AT_ONCE, "model": MODEL}
                theirs = client("client_gather.py", told, env)
                gathered.append(ROWS / theirs["seconds"])
                vectors += by_openaivec(told, env)
    ideal = AT_ONCE / SECONDS
    with slow_hosts() as (state, env):
        kept = client("client_map.py", {"state": state, "rows": MANY, "memory": True}, env)
    title = f"{ROWS:,} prompts of {HOSTS} hosts at 200 ms, {AT_ONCE} at once"
    return [
        figure(f"{title}: opg_magic.map", rates, "calls/s", peer="ideal", beside=[ideal]),
        figure(
            f"{title}: opg_magic.map",
            rates,
            "calls/s",
            peer="AsyncOpenAI and gather through opg serve",
            beside=gathered,
        ),
        *(
            figure(
                f"{title}: opg_magic.map",
                rates,
                "calls/s",
                peer="openaivec through opg serve, one row per request",
                beside=vectors,
            )
            for _ in vectors[:1]
        ),
        figure("the same table again, from the ledger", again, "ms/row"),
        figure(f"memory of a table of {MANY:,} rows", [kept["bytes_per_row"]], "bytes/row"),
    ]


def by_openaivec(told: Mapping[str, Any], env: Mapping[str, str]) -> list[float]:
    """Its calls per second; none where it cannot start, for instance without its tokeniser."""
    try:
        return [ROWS / client("client_openaivec.py", told, env, OPENAIVEC)["seconds"]]
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"openaivec is not measured: {problem}", flush=True)
        return []


@contextmanager
def slow_hosts() -> Iterator[tuple[Mapping[str, Any], dict[str, str]]]:
    """A network of its own, whose hosts take their time; its state, and the environment for its
    clients."""
    with tempfile.TemporaryDirectory() as home:
        limits = 'max_cost_per_kernel = "50"\nmax_cost_per_day = "500"\n'
        Path(home, "config.toml").write_text(limits)
        env = {**os.environ, "OPG_HOME": home}
        server = subprocess.Popen(
            [str(OURS), str(HERE / "slow_simnet.py"), str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline()), env
        finally:
            server.stdin.close()
            server.wait()


@contextmanager
def served(state: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """``opg serve`` for that network; where it is, and its token's file."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "token")
        serving = subprocess.Popen(
            [str(OURS), str(HERE / "serve_slow.py"), "--port", "0", "--token-file", file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            text=True,
        )
        assert serving.stdin is not None
        assert serving.stdout is not None
        try:
            serving.stdin.write(json.dumps(state) + "\n")
            serving.stdin.flush()
            urls = (re.search(r"http://\S+", line) for line in serving.stdout)
            yield {"url": next(found[0] for found in urls if found), "token_file": file}
        finally:
            serving.terminate()
            serving.wait(20)


def client(
    script: str, told: Mapping[str, Any], env: Mapping[str, str], python: Path = OURS
) -> dict[str, Any]:
    """What a script measures in a process of its own."""
    done = subprocess.run(
        [str(python), str(HERE / script)],
        input=json.dumps(told) + "\n",
        env=dict(env),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    from figures import table

    print(table(measure(rounds=1)))
