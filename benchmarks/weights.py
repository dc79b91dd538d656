"""How well a run of the weights tells a swap: answers of honest hosts and of each cheat, checked.

``python benchmarks/weights.py --answers 200 --tokens 64`` asks (``build/weights-answers.jsonl``),
checks (``build/weights.jsonl``) and prints the table of docs/weights.md.  A second start goes on
where the first ended; ``--stage ask`` or ``check`` does one of both, so that a changed check needs
no new answers.  ``--draw docs/images/weights-roc.svg`` draws the picture.  It needs xllamacpp and
the weights (``opg models get smollm2``).  More hosts: with ``gguf`` installed other quantisations;
``--other-build FOLDER`` is another version of xllamacpp, unpacked there; ``--peer PYTHON`` an
interpreter whose llama-cpp-python was built without AVX."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weights_table import drawn, table, warm_table

ROOT = Path(__file__).resolve().parent.parent
ANSWERS = ROOT / "build" / "weights-answers.jsonl"
RAW = ROOT / "build" / "weights.jsonl"
TOPICS = (
    *("the sea", "a dog", "photosynthesis", "bread", "the moon", "Python lists", "a bicycle"),
    *("the heart", "rain", "chess", "the internet", "a volcano", "money", "honey bees", "sleep"),
    *("gravity", "tea", "a library", "friendship", "the piano", "electricity", "penguins", "soap"),
    *("maps", "the brain", "cheese", "time zones", "football", "paper", "windmills"),
    *("glass", "a compass", "owls", "salt"),
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
    "another build (no AVX)": ("peer", 0, 0, None),
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
HONEST = (
    *("honest", "two threads", "passes of 1"),
    *("another build (AVX-512)", "another build (no AVX)", "16 bit arithmetic"),
)

#: Of these alone rounding fails an answer.
OTHER_BUILDS = HONEST[3:]

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


_PEER = """
import json, sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=2048, n_threads=1, n_threads_batch=1, verbose=False)
for line in sys.stdin:
    job = json.loads(line)
    made = model.create_completion(
        job["prompt"], max_tokens=job["tokens"], temperature=0, repeat_penalty=1.0
    )["choices"][0]
    model.reset()
    print(json.dumps([made["text"], made["finish_reason"] == "stop"]), flush=True)
"""


class Peer:
    """The weights in llama-cpp-python, by an interpreter of its own; temperature 0 only."""

    def __init__(self, path: Path, python: str) -> None:
        from opg_magic.weights import gguf

        self._template = gguf.read(path).template or ""
        self._process = subprocess.Popen(
            [python, "-c", _PEER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(
        self, messages: list[dict[str, str]], temperature: float, tokens: int, seed: int
    ) -> tuple[str, bool]:
        """(text, whether it ended by itself)."""
        from opg_magic.weights import template

        assert temperature == 0 and self._process.stdin and self._process.stdout
        prompt = template.render(self._template, messages)
        self._process.stdin.write(json.dumps({"prompt": prompt, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        text, ended = json.loads(self._process.stdout.readline())
        return text, ended

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


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

    def __init__(self, own: Path, folder: Path, other_build: str, peer: str) -> None:
        self._own, self._folder, self._build, self._peer = own, folder, other_build, peer
        self._started: dict[str, Host | Peer | None] = {}

    def get(self, name: str) -> Host | Peer | None:
        """None where such a host cannot be had here."""
        if name not in self._started:
            self._started[name] = self._start(name)
        return self._started[name]

    def _start(self, name: str) -> Host | Peer | None:
        from opg_magic.simnet.model import variants

        if name == "peer":
            return Peer(self._own, self._peer) if self._peer else None
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


def ask(own: Path, options: argparse.Namespace) -> None:
    """Ask everything that is not in the file yet: at temperature 0 first."""
    done = {(row["i"], row["cond"]) for row in rows(ANSWERS)}
    folder = RAW.parent / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    hosts = Hosts(own, folder, options.other_build, options.peer)
    asked = prompts(options.answers)
    wanted = [
        (signed > 0, number, name)
        for number in range(len(asked))
        for name, (_, _, signed, _) in CONDITIONS.items()
        if (number, name) not in done
    ]
    # What one host says to one prompt is said once, whatever it is checked as.
    told = {
        (row["i"], *CONDITIONS[row["cond"]][:2], CONDITIONS[row["cond"]][3]): row
        for row in rows(ANSWERS)
        if row["cond"] != "edited" and row["most"] == options.tokens
    }
    try:
        with ANSWERS.open("a", encoding="utf-8") as out:
            for _, number, name in sorted(wanted, key=lambda one: one[:2]):
                model, used, _, hidden = CONDITIONS[name]
                key = (number, model, used, hidden)
                if key not in told:
                    host = hosts.get(model)
                    if host is None:
                        continue
                    turns = [{"role": "system", "content": hidden or ""}]
                    turns += _messages(asked[number])
                    text, ended = host.answer(turns, used, options.tokens, number)
                    told[key] = {"text": text, "ended": ended}
                text, ended = told[key]["text"], told[key]["ended"]
                if name == "edited":
                    text = _edited(text, number)
                row = {"i": number, "cond": name, "most": options.tokens}
                out.write(json.dumps({**row, "ended": ended, "text": text}) + "\n")
                out.flush()
    finally:
        hosts.close()


def check(own: Path) -> None:
    """Check every answer that is kept and was not checked yet; equal answers once."""
    from opg_magic.weights.check import job
    from opg_magic.weights.runner import Runner

    done = {(row["i"], row["cond"]) for row in rows(RAW)}
    asked = prompts(len(TOPICS) * len(FORMS))
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    with Runner(own, threads=1) as runner, RAW.open("a", encoding="utf-8") as out:
        for row in list(rows(ANSWERS)):
            number, name, most = row["i"], row["cond"], row["most"]
            if (number, name) in done:
                continue
            signed = CONDITIONS[name][2]
            same = (number, signed, row["text"], row["ended"])
            if same not in known:
                request = {
                    "messages": _messages(asked[number]),
                    "temperature": signed,
                    "max_tokens": most,
                }
                task = job(request, row["text"], runner, runner_sha256())
                known[same] = runner.run({**task, "end": row["ended"]})
            result = known[same]
            kept = {key: result[key] for key in ("ranks", "surplus", "variance", "outside")}
            gaps = [round(gap, 6) for gap in result["gaps"]]
            kept = {"i": number, "cond": name, "t": signed, **kept, "gaps": gaps}
            out.write(json.dumps(kept) + "\n")
            out.flush()


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


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


def rows(path: Path = RAW) -> Iterator[dict[str, Any]]:
    """Everything that a file keeps; a last line that a stop cut off is not counted."""
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from (json.loads(line) for line in file if line.endswith("\n"))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--answers", type=int, default=200)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--stage", choices=("ask", "check"), help="only this")
    options.add_argument("--other-build", default="", metavar="FOLDER")
    options.add_argument("--peer", default="", metavar="PYTHON")
    options.add_argument("--draw", type=Path)
    options.add_argument("--show", action="store_true", help="only show what is there")
    given = options.parse_args()
    if not given.show:
        from opg_magic.weights import fetch

        own = fetch.cached(fetch.SMOLLM2)
        if own is None:
            print("The weights are not here: opg models get smollm2", file=sys.stderr)
            return 1
        if given.stage != "check":
            ask(own, given)
        if given.stage != "ask":
            check(own)
    kept = list(rows())
    print(table(kept, CONDITIONS), warm_table(kept, CONDITIONS), sep="\n\n")
    if given.draw:
        given.draw.write_text(drawn(kept, OTHER_BUILDS), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
