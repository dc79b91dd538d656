"""The extension's rooms: imports point one way, and what judges needs no JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "labextension" / "src"
#: From the ground up, as in the table of docs/architecture.md.
ROOMS = (
    "base", "crypto", "protocol", "receipt", "cells", "verify", "face", "audit",
    "card", "lab", "editing", "views",
)  # fmt: skip
#: These run wherever there is JavaScript.
PURE = ROOMS[: ROOMS.index("card")]
#: What the build makes of the package's own files; it uses nothing.
MADE = "generated"
IMPORT = re.compile(r"(?:from|import|import\()\s*'([^']+)'")


def _files() -> Iterator[PurePosixPath]:
    for file in sorted(SOURCE.rglob("*.ts*")):
        path = PurePosixPath(file.relative_to(SOURCE).as_posix())
        if path.parts[0] not in ("__tests__", MADE):
            yield path


def _imports(path: PurePosixPath) -> Iterator[tuple[str, str]]:
    """What a file imports: as it is written, and its room ("" for a package or a style sheet)."""
    for name in IMPORT.findall((SOURCE / path).read_text("utf-8")):
        target = (SOURCE / path).parent.joinpath(name).resolve()
        inside = name.startswith(".") and target.is_relative_to(SOURCE.resolve())
        yield name, target.relative_to(SOURCE.resolve()).parts[0] if inside else ""


def test_at_the_top_stand_what_jupyterlab_loads_and_the_rooms() -> None:
    files = {path.name for path in SOURCE.iterdir() if path.is_file()}
    assert files == {"index.ts", "mime.ts"}
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    assert folders - {"__tests__", MADE} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_of_the_extension_runs_back(room: str) -> None:
    below = {MADE, *ROOMS[: ROOMS.index(room) + 1]}
    inside = [path for path in _files() if path.parts[0] == room]
    assert inside
    found = [
        f"{path} imports {name}"
        for path in inside
        for name, target in _imports(path)
        if target and target not in below
    ]
    assert found == []


def test_what_judges_needs_no_jupyterlab() -> None:
    allowed = ("@noble/", "@lumino/signaling")
    found = [
        f"{path} imports {name}"
        for path in _files()
        if path.parts[0] in PURE
        for name, target in _imports(path)
        if not target and not name.startswith(allowed)
    ]
    assert found == []


def test_the_page_lists_these_rooms_in_this_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page[page.index("## The extension's rooms") :]
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == ROOMS
