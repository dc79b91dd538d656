"""Store receipts of the version at hand, with what its code says of them: once per release.

``python tests/versions/store.py`` writes ``tests/versions/VERSION.jsonl.gz``.  It takes from the
corpus as few receipts as show every outcome of every claim, every label and every policy once.
``--receipts FILE.jsonl`` adds receipts of real calls (``opg receipts export``), judged as a reader
would who knows the root that each names, and as a stranger would."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from corpus import generate  # noqa: E402
from corpus.build import Case  # noqa: E402
from corpus.cases import all_cases  # noqa: E402

from opg_magic import __version__  # noqa: E402
from opg_magic.models import Trust  # noqa: E402

#: Of what could not be read, so many.
UNREADABLE = 6


def calls(path: Path) -> Iterator[Case]:
    """The receipts of real calls, each for two readers."""
    for text in path.read_text("utf-8").splitlines():
        document = json.loads(text)
        root = document["attestation"]["root_sha256"]
        readers = {
            "who knows its root": Trust(simulated_roots=frozenset({root})),
            "a stranger": Trust(),
        }
        for who, trust in readers.items():
            yield Case(f"call {document['id']}, {who}", None, text, trust)


def outcomes(line: dict[str, Any]) -> set[Any]:
    """What a receipt shows of the verifier."""
    judged = line["expected"]
    if judged is None:
        return {"unreadable"}
    shown: set[Any] = {
        (name, claim["status"], claim["basis"], claim["code"])
        for name, claim in judged["claims"].items()
    }
    shown.add((judged["label"], judged["withheld"], line["policy"]))
    shown.add((judged["digest_matches"], judged["faithful"]))
    return shown


def chosen(lines: list[dict[str, Any]], seen: set[Any]) -> Iterator[dict[str, Any]]:
    """As few of them as show everything that is not in ``seen``: the one that adds most, first."""
    left = list(lines)
    while left:
        best = max(left, key=lambda line: (len(outcomes(line) - seen), -len(line["text"])))
        if not outcomes(best) - seen:
            break
        left.remove(best)
        seen |= outcomes(best)
        yield best
    yield from [line for line in left if line["expected"] is None][: UNREADABLE - 1]


def stored(line: dict[str, Any]) -> str:
    """A line of the file: the case, and what is to be held to (no sentence: those may be
    reworded)."""
    judged = line.pop("expected")
    if judged is not None:
        del judged["because"], judged["policy"]
        judged["claims"] = {
            name: {key: claim[key] for key in ("status", "basis", "code")}
            for name, claim in judged["claims"].items()
        }
    return json.dumps(line | {"judged": judged}, sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--receipts", type=Path, help="receipts of real calls, one a line")
    given = parser.parse_args()
    target = HERE / f"{__version__}.jsonl.gz"
    if target.exists():
        parser.error(f"{target.name} is there: receipts that were stored once stay as they are")
    real = [] if given.receipts is None else list(calls(given.receipts))
    lines = [json.loads(generate.line(c, generate.expected_of(c))) for c in [*real, *all_cases()]]
    kept, rest = lines[: len(real)], lines[len(real) :]
    kept += chosen(rest, set().union(*map(outcomes, kept)))
    text = "".join(f"{stored(line)}\n" for line in kept)
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(kept)} receipts in {target.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
