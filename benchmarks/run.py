"""``make bench``: all measurements, on one simulated network of their own; figures in
build/bench.json.

``run.py load`` (or ``call``, ``private``, ``serve``, ``map``, ``verify``, ``weights``,
``browser``) takes only that part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import call_time
import load_time
import map_time
import private_time
import serve_time
import verify_browser
import verify_time
import weights_speed
from figures import Figure, save, table

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
HOME = BUILD / "bench" / "home"
PARTS = ("load", "call", "private", "serve", "map", "verify", "weights", "browser")


def main(wanted: list[str]) -> int:
    for name in [name for name in os.environ if name.startswith("OPG_")]:
        del os.environ[name]
    # A home of its own: the limits of this run and its receipts are not the user's.
    os.environ["OPG_HOME"] = str(HOME)
    os.environ["IPYTHONDIR"] = str(BUILD / "bench" / "ipython")
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "config.toml").write_text('max_cost_per_kernel = "50"\nmax_cost_per_day = "500"\n')
    parts = wanted or list(PARTS)
    figures: list[Figure] = []
    if "load" in parts:
        print("Loading the extension in fresh processes ...", flush=True)
        figures += load_time.measure()
    if {"call", "private", "serve", "verify"} & set(parts):
        from opg_magic.network import simnet_client

        print("Starting the simulated network ...", flush=True)
        state = simnet_client.ensure_up()
        try:
            key = simnet_client.wallet_key(state).reveal()
            if "call" in parts:
                print("First answers of fresh kernels ...", flush=True)
                figures += call_time.first_answer(state, key)
                print("Warm calls ...", flush=True)
                figures += call_time.warm(state, key)
            if "private" in parts:
                print("Calls on the private route ...", flush=True)
                figures += private_time.measure(state)
            if "serve" in parts:
                print("Calls through opg serve ...", flush=True)
                figures += serve_time.measure(state, key)
            if "verify" in parts:
                print("Verification of one receipt ...", flush=True)
                figures += verify_time.measure()
                figures += verify_time.proof()
                print(f"Verification of {verify_time.MANY:,} receipts ...", flush=True)
                figures += verify_time.many()
        finally:
            subprocess.run(
                [sys.executable, "-m", "opg_magic.simnet", "down"],
                check=False,
                stdout=subprocess.DEVNULL,
            )
    if "map" in parts:
        print("A table of prompts ...", flush=True)
        figures += map_time.measure()
    if "weights" in parts:
        print("Weights run again over an answer ...", flush=True)
        figures += weights_speed.measure()
    if "browser" in parts:
        print("A thousand receipts in Chromium ...", flush=True)
        figures += verify_browser.measure()
    save(figures, BUILD / "bench.json")
    print(f"\n{table(figures)}\n\nKept in {(BUILD / 'bench.json').relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(PARTS)
    if unknown:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    raise SystemExit(main(sys.argv[1:]))
