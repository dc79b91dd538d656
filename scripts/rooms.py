"""The rooms of ``opg_magic`` and who uses whom, read from the imports in its own code.

Imports inside functions and under ``TYPE_CHECKING`` count as any other.  ``python
scripts/rooms.py`` writes the drawing and the table of ``docs/architecture.md`` anew;
``tests/house`` holds that they are up to date, and that no arrow runs back."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import marked

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"

#: From the ground up: a room may use those before it, and none behind it.  What happens in each.
ROOMS = {
    "errors": "every failure, with a message that you can act on",
    "models": "what travels: money, prompts, hosts, evidence, verdicts, answers",
    "shapes": "the form that an answer shall have: schema in, data out",
    "settings": "what you have set: environment, files, limits, prices",
    "protocol": "bytes as they are on the wire",
    "verify": "evidence in, claims and verdict out; one module per claim",
    "weights": "open weights: fetched, pinned, run again",
    "cells": "the grammar of cells and lines, for the magic and for the reader of a notebook",
    "network": "the registry, RPCs that must agree, pinned TLS, settlements",
    "wallet": "keys, bounds and payment signatures",
    "receipt": "the document of one call: form, parts, schema, saved display",
    "ledger": "the file of all receipts; spending, tables, exports",
    "audit": "receipts and notebooks of others: read, checked, reported",
    "call": "one call, from prompt to receipt",
    "table": "a prompt for each row of a table: planned, asked over several hosts, put back",
    "api": "`ask`, `aask`, `map`, `amap`, `agree`, `receipts`",
    "display": "an answer as text, Markdown and HTML",
    "notebook": "the magics, completion, the live card, the dashboard",
    "server": "what the browser may read of the ledger",
    "endpoint": "verified calls over OpenAI's API, for programs on this machine",
    "shell": "the command `opg`",
    "simnet": "the simulated network; nothing else uses it",
}
#: The package itself: what it exports, it gets from the rooms.
ROOF = "__init__"

Graph = Mapping[str, frozenset[str]]


def modules(package: Path) -> dict[str, Path]:
    """Each module of a package by its dotted name, that of the package left out ("" is the package
    itself)."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(package: Path) -> Graph:
    """Which module of a package imports which other, wherever in its code it does so."""
    known = modules(package)
    return {
        name: frozenset(_targets(ast.parse(file.read_text("utf-8")), package.name, known) - {name})
        for name, file in known.items()
    }


def _targets(tree: ast.AST, package: str, known: Iterable[str]) -> set[str]:
    found = set()
    for named in _imported(tree):
        first, _, rest = named.partition(".")
        if first != package:
            continue
        while rest not in known:  # the name of something in a module
            rest = rest.rpartition(".")[0]
        found.add(rest)
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: a relative import; name the package")
            # Anyone may ask for the package's version: a constant, from which no arrow goes on.
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"
            )


def room(module: str) -> str:
    """The room of a module."""
    return module.partition(".")[0] or ROOF


def arrows(graph: Graph) -> dict[str, frozenset[str]]:
    """Which room uses which other."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, targets in graph.items():
        found[room(module)] |= {room(target) for target in targets}
    return {name: frozenset(targets - {name}) for name, targets in found.items()}


def circles(graph: Graph) -> list[frozenset[str]]:
    """Each set of nodes that reach one another, of more than one node."""
    reach = {name: _reached(graph, name) for name in graph}
    together = {
        frozenset({name} | {other for other in reach[name] if name in reach.get(other, ())})
        for name in graph
    }
    return sorted((one for one in together if len(one) > 1), key=sorted)


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
    return seen


def drawn(graph: Graph) -> set[tuple[str, str]]:
    """The arrows that a drawing needs: those that no longer way says already."""
    return {
        (name, target)
        for name, targets in graph.items()
        for target in targets
        if not any(target in _reached(graph, other) for other in targets - {target})
    }


def mermaid(graph: Graph) -> str:
    """The rooms as a drawing: an arrow points to what a room uses."""
    here = [name for name in reversed(ROOMS) if name in graph]
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {name}" for name in here]
    order = {name: number for number, name in enumerate(here)}
    lines += [
        f"    {name} --> {target}"
        for name, target in sorted(drawn(graph), key=lambda pair: (order[pair[0]], order[pair[1]]))
    ]
    return "\n".join([*lines, "```"])


def table(graph: Graph) -> str:
    """Each room: what happens in it, and all the rooms that it uses."""
    head = "| Room | What happens there | Uses |\n| --- | --- | --- |"
    rows = [
        f"| `{name}` | {about} | {', '.join(n for n in ROOMS if n in graph[name]) or '–'} |"
        for name, about in ROOMS.items()
        if name in graph
    ]
    return "\n".join([head, *rows])


def back(graph: Graph) -> set[tuple[str, str]]:
    """The imports, module by module, that run against the order of the rooms."""
    order = [*ROOMS, ROOF]
    return {
        (module, target)
        for module, targets in graph.items()
        for target in targets
        if order.index(room(target)) > order.index(room(module))
    }


def rooms(package: Path = ROOT / "opg_magic") -> dict[str, frozenset[str]]:
    """The arrows between the rooms, but for those that run back: those are faults, not a plan."""
    graph = imports(package)
    faults = back(graph)
    forward = {
        name: frozenset(target for target in targets if (name, target) not in faults)
        for name, targets in graph.items()
    }
    return {name: targets for name, targets in arrows(forward).items() if name != ROOF}


def updated(text: str) -> str:
    """The page's text with drawing and table as they should be."""
    graph = rooms()
    return marked.filled(text, {"drawing": mermaid(graph), "rooms": table(graph)}, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")
