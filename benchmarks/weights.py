"""How well a run of the weights tells a swap: answers of honest hosts and of each cheat, checked.

``python benchmarks/weights.py --answers 60 --tokens 100`` writes every run to
``build/weights.jsonl`` (a second start goes on where the first ended) and prints the table of
docs/weights.md; ``--draw docs/weights-roc.svg`` draws its picture.  It needs xllamacpp and the
weights (``opg models get smollm2``); with ``gguf`` installed other quantisations are made too, and
``--other-build FOLDER`` takes another version of xllamacpp, unpacked there, for a host."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "build" / "weights.jsonl"
TOPICS = (
    *("the sea", "a dog", "photosynthesis", "bread", "the moon", "Python lists", "a bicycle"),
    *("the heart", "rain", "chess", "the internet", "a volcano", "money", "honey bees", "sleep"),
    *("gravity", "tea", "a library", "friendship", "the piano", "electricity", "penguins", "soap"),
    *("maps", "the brain", "cheese", "time zones", "football", "paper", "windmills"),
)
FORMS = (
    "Explain {} in two sentences.",
    "Write three facts about {}.",
    "Tell a short story about {}.",
    "What is {} used for, or why does it matter?",
    "Write a short poem about {}.",
    "Give advice to someone who wants to learn about {}.",
)
HIDDEN = "Mention our sponsor kindly when it fits."
WARM = 0.7
#: Condition: (model, temperature that the host uses, temperature that was signed, hidden prompt).
CONDITIONS: dict[str, tuple[str, float, float, str | None]] = {
    "honest": ("own", 0, 0, None),
    "two threads": ("threads-2", 0, 0, None),
    "passes of 1": ("batch-1", 0, 0, None),
    "another build (AVX-512)": ("other-build", 0, 0, None),
    "16 bit arithmetic": ("f16", 0, 0, None),
    "another model": ("another", 0, 0, None),
    "coarser in part": ("coarse", 0, 0, None),
    "Q4_0 for Q4_1": ("q4_0", 0, 0, None),
    "Q8_0 of Q4_1": ("q8_0", 0, 0, None),
    "hidden prompt": ("own", 0, 0, HIDDEN),
    "temperature 0.7 for 0": ("own", WARM, 0, None),
    "edited": ("own", 0, 0, None),
    "honest at 0.7": ("own", WARM, WARM, None),
    "another build at 0.7": ("other-build", WARM, WARM, None),
    "temperature 1.2 for 0.7": ("own", 1.2, WARM, None),
    "temperature 0 for 0.7": ("own", 0, WARM, None),
    "Q4_0 at 0.7": ("q4_0", WARM, WARM, None),
    "hidden prompt at 0.7": ("own", WARM, WARM, HIDDEN),
}
HONEST = ("honest", "two threads", "passes of 1", "another build (AVX-512)", "16 bit arithmetic")
HONEST_WARM = ("honest at 0.7", "another build at 0.7")

_SERVE = """
import socket, sys, xllamacpp
path, threads, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.n_parallel = path, 2048, 1
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
if batch:
    p.n_ubatch = batch
s = socket.socket(); s.bind(("127.0.0.1", 0)); p.port = s.getsockname()[1]; s.close()
server = xllamacpp.Server(p)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


class Host:
    """Weights that answer in a process of their own."""

    def __init__(self, path: Path, *, threads: int = 1, batch: int = 0, build: str = "") -> None:
        environ = os.environ | ({"PYTHONPATH": build} if build else {})
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(path), str(threads), str(batch)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        lines = (line.split() for line in self._process.stdout)
        self._address = next(words[1] for words in lines if words[:1] == ["listening"])

    def answer(
        self, messages: list[dict[str, str]], temperature: float, tokens: int, seed: int
    ) -> tuple[str, bool]:
        """(text, whether it ended by itself)."""
        from opg_magic.weights.conversation import SAMPLING

        body = {
            **SAMPLING,
            "messages": messages,
            "temperature": temperature,
            "max_tokens": tokens,
            "seed": seed,
            "cache_prompt": False,
        }
        request = urllib.request.Request(
            self._address + "/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            choice = json.load(answer)["choices"][0]
        return choice["message"]["content"], choice["finish_reason"] == "stop"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Hosts:
    """Hosts by the name of their model, each started when it is first asked."""

    def __init__(self, own: Path, folder: Path, other_build: str) -> None:
        self._own, self._folder, self._build = own, folder, other_build
        self._started: dict[str, Host | None] = {}

    def get(self, name: str) -> Host | None:
        """None where such a host cannot be had here."""
        if name not in self._started:
            self._started[name] = self._start(name)
        return self._started[name]

    def _start(self, name: str) -> Host | None:
        from opg_magic.simnet.model import variants

        if name == "other-build":
            return Host(self._own, build=self._build) if self._build else None
        if name in ("own", "threads-2", "batch-1"):
            return Host(
                self._own,
                threads=2 if name == "threads-2" else 1,
                batch=1 if name == "batch-1" else 0,
            )
        path = self._folder / f"{name}.gguf"
        if not path.exists():
            if name == "another":
                variants.another(self._own, path)
            elif name == "coarse":
                variants.coarser(self._own, path)
            elif not _requantised(self._own, path, name):
                return None
        return Host(path)

    def close(self) -> None:
        for host in self._started.values():
            if host is not None:
                host.close()


def _requantised(source: Path, target: Path, name: str) -> bool:
    """The same weights in another quantisation; False without the package ``gguf``."""
    try:
        import numpy as np
        from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
        from gguf.quants import dequantize, quantize
    except ModuleNotFoundError:
        return False
    kind, reader = GGMLQuantizationType[name.upper()], GGUFReader(str(source))
    writer = GGUFWriter(str(target), reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        data, now = tensor.data, tensor.tensor_type
        if now != GGMLQuantizationType.F32:
            data, now = quantize(dequantize(data, now).astype(np.float32), kind), kind
        writer.add_tensor(tensor.name, data, raw_dtype=now)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return True


def prompts(count: int) -> list[str]:
    """The same prompts on every run, in an order that mixes their forms."""
    made = [form.format(topic) for form in FORMS for topic in TOPICS]
    random.Random(5).shuffle(made)
    return made[:count]


def collect(own: Path, options: argparse.Namespace) -> None:
    """Ask and check everything that is not in the file yet."""
    from opg_magic.weights.runner import Runner

    done = {(row["i"], row["cond"]) for row in rows()}
    folder = RAW.parent / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    hosts = Hosts(own, folder, options.other_build)
    try:
        with Runner(own, threads=1) as runner, RAW.open("a", encoding="utf-8") as out:
            for number, prompt in enumerate(prompts(options.answers)):
                for name in CONDITIONS:
                    if (number, name) not in done and (
                        row := _one(hosts, runner, number, prompt, name, options.tokens)
                    ):
                        out.write(json.dumps(row) + "\n")
                        out.flush()
    finally:
        hosts.close()


def _one(
    hosts: Hosts, runner: Any, number: int, prompt: str, name: str, tokens: int
) -> dict[str, Any] | None:
    from opg_magic.weights.check import job

    model, used, signed, hidden = CONDITIONS[name]
    host = hosts.get(model)
    if host is None:
        return None
    messages = [{"role": "user", "content": prompt}]
    begun = time.perf_counter()
    answer, ended = host.answer(
        [{"role": "system", "content": hidden or ""}, *messages], used, tokens, number
    )
    asked = time.perf_counter()
    if name == "edited":
        answer = _edited(answer, number)
    request = {"messages": messages, "temperature": signed, "max_tokens": tokens}
    task = job(request, answer, runner, runner_sha256())
    result = runner.run({**task, "end": ended})
    checked = time.perf_counter()
    return {
        "i": number,
        "cond": name,
        "t": signed,
        "ranks": result["ranks"],
        "gaps": [round(gap, 6) for gap in result["gaps"]],
        "surplus": result["surplus"],
        "variance": result["variance"],
        "outside": result["outside"],
        "seconds": [round(asked - begun, 4), round(checked - asked, 4)],
    }


def runner_sha256() -> str:
    """The weights that run: those that are pinned."""
    from opg_magic.weights.fetch import SMOLLM2

    return SMOLLM2.sha256


def _edited(answer: str, seed: int) -> str:
    """One word of the answer's second half in place of another."""
    chance, words = random.Random(seed), answer.split(" ")
    at = chance.randrange(len(words) // 2, len(words))
    words[at] = chance.choice(["always", "never", "Berlin", "green", "seven"])
    return " ".join(words)


def rows() -> Iterator[dict[str, Any]]:
    """Every run that was kept."""
    if RAW.exists():
        with RAW.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


# ------------------------------------------------------------------------------------ what it shows


def cut(row: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The run as it would be of the answer's first ``tokens`` tokens (temperature 0)."""
    return {**row, "ranks": row["ranks"][:tokens], "gaps": row["gaps"][:tokens]}


def score(row: dict[str, Any], tolerance: float) -> float:
    """What goes beyond the tolerance, in shares of what may: above 1 fails."""
    if row["t"]:
        bound = 4.5 * (row["variance"] + 1) ** 0.5
        return max(abs(row["surplus"]) / bound, row["outside"] / (2.5 + len(row["ranks"]) // 100))
    beyond = sum(max(0.0, gap - tolerance) for gap in row["gaps"])
    return beyond / (tolerance * (1 + len(row["gaps"]) / 300))


def table() -> str:
    """Detection by number of tokens, as Markdown."""
    from opg_magic.verify.weights import ANY_RUNTIME, SAME_RUNTIME

    found = defaultdict(list)
    for row in rows():
        found[row["cond"]].append(row)
    lines = [
        "| Host | Answers | First choices | Largest gap "
        "| 16 tokens | 32 | 64 | all | all, same build |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in CONDITIONS:
        runs = found.get(name, [])
        if not runs:
            continue
        first = sum(rank == 1 for row in runs for rank in row["ranks"])
        total = sum(len(row["ranks"]) for row in runs)
        gap = max(gap for row in runs for gap in row["gaps"])
        warm = bool(runs[0]["t"])
        shares = [
            "" if warm and length < 1000 else _share(runs, length, ANY_RUNTIME / 1e6)
            for length in (16, 32, 64, 1000)
        ]
        same = "" if warm else _share(runs, 1000, SAME_RUNTIME / 1e6)
        cells = [name, len(runs), f"{first} of {total}", f"{gap:.2f}", *shares, same]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    seconds = [row["seconds"] for row in found["honest"] if "seconds" in row]
    if seconds:
        tokens = sum(len(row["ranks"]) for row in found["honest"] if "seconds" in row)
        asked, checked = (tokens / sum(column) for column in zip(*seconds, strict=True))
        lines += ["", f"Tokens per second, side by side: {asked:.0f} asked, {checked:.0f} checked."]
    return "\n".join(lines)


def _share(runs: list[dict[str, Any]], length: int, tolerance: float) -> str:
    caught = sum(score(cut(row, length), tolerance) > 1 for row in runs)
    return f"{caught} of {len(runs)}"


def drawn() -> str:
    """ROC curves as SVG: share of swaps caught over share of honest answers refused, as the
    tolerance's multiple moves; honest are all honest hosts, other builds among them."""
    honest = [score(row, 0.3) for row in rows() if row["cond"] in HONEST]
    shown = ("Q8_0 of Q4_1", "hidden prompt", "another model", "coarser in part", "edited")
    tones = ("#b4690e", "#1f6feb", "#8250df", "#0a7d55", "#cf222e")
    parts = []
    for order, (name, tone) in enumerate(zip(shown, tones, strict=True)):
        swapped = [score(row, 0.3) for row in rows() if row["cond"] == name]
        if not swapped:
            continue
        bounds = sorted({*honest, *swapped, -1.0}, reverse=True)
        points = " ".join(
            f"{40 + 240 * sum(h > b for h in honest) / len(honest):.1f},"
            f"{260 - 240 * sum(s > b for s in swapped) / len(swapped):.1f}"
            for b in bounds
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{tone}" stroke-width="2"/>')
        parts.append(f'<text x="130" y="{170 + 17 * order}" fill="{tone}">{name}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Share of swaps caught over false alarms">'
        '<rect width="300" height="300" fill="#fff"/><path d="M40 20V260H280" fill="none" '
        'stroke="#57606a"/><path d="M40 260L280 20" stroke="#d0d7de" stroke-dasharray="4"/>'
        + "".join(parts)
        + '<text x="40" y="278" fill="#57606a">0</text><text x="262" y="278" fill="#57606a">100 %'
        '</text><text x="90" y="293" fill="#57606a">honest answers refused</text><text x="32" '
        'y="250" fill="#57606a" transform="rotate(-90 32 250)">swaps caught, 0 to 100 %</text>'
        "</svg>\n"
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--answers", type=int, default=60)
    options.add_argument("--tokens", type=int, default=100)
    options.add_argument("--other-build", default="", metavar="FOLDER")
    options.add_argument("--draw", type=Path)
    options.add_argument("--show", action="store_true", help="only show what is there")
    given = options.parse_args()
    if not given.show:
        from opg_magic.weights import fetch

        own = fetch.cached(fetch.SMOLLM2)
        if own is None:
            print("The weights are not here: opg models get smollm2", file=sys.stderr)
            return 1
        collect(own, given)
    print(table())
    if given.draw:
        given.draw.write_text(drawn(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
