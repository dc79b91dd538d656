"""The project speaks of itself alone: nothing tracked names a machine, an index of packages or a
secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]

# Letters in brackets keep these patterns from finding themselves.
FORBIDDEN = {
    "an absolute path of some machine": re.compile(
        r"(?<![\w.~$}/-])/(?:[r]oot|[h]ome/(?!me/|user/|you/|anna/)\w+|[U]sers/\w+)/"
    ),
    "the path of this clone": re.compile(re.escape(str(ROOT)) + r"\b"),
    "an index of packages": re.compile(
        r"python[h]osted\.org|[p]ypi\.org/simple|registry\.[n]pmjs\.org|registry\.[y]arnpkg\.com",
        re.IGNORECASE,
    ),
    "a trailer of some tool": re.compile(
        r"[c]o-authored-by:|[g]enerated (?:with|by) (?:claude|chatgpt|copilot)", re.I
    ),
    "an unfinished merge": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "a private key in PEM": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE [K]EY-----"),
}
#: Larger than any text of ours; what is larger is data and is listed by name.
LARGE = 1_500_000


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_text_holds(what: str) -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}: {match.group(0)!r}"
            for match in FORBIDDEN[what].finditer(text)
        ]
    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    path, index, key = (
        FORBIDDEN[n]
        for n in (
            "an absolute path of some machine",
            "an index of packages",
            "a private key in PEM",
        )
    )
    for folder in ("root", "home/build", "Users/build"):
        assert path.search(f'x = "/{folder}/file"')
        assert not path.search(f"build/{folder}/x, ~/{folder}/x, $HOME/{folder}/x")
    assert FORBIDDEN["the path of this clone"].search(f"see {ROOT}/x")
    assert index.search("https://files.python{}.org/packages/x".format("hosted"))
    assert key.search("-----BEGIN EC PRIVATE {}-----".format("KEY"))


def test_no_tracked_file_is_huge() -> None:
    assert [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > LARGE] == []


def test_screenshots_are_small() -> None:
    images = [path for path in tracked() if path.suffix == ".png"]
    assert [str(path.relative_to(ROOT)) for path in images if path.stat().st_size >= 300_000] == []


def test_example_notebooks_are_valid_and_without_outputs() -> None:
    notebooks = [
        path for path in tracked() if path.suffix == ".ipynb" and path.parent.name == "examples"
    ]
    assert {path.name for path in notebooks} >= {
        "quickstart.ipynb",
        "catch_a_lying_host.ipynb",
        "label_a_column.ipynb",
    }
    for path in notebooks:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.outputs == [] and cell.execution_count is None, (
                    f"{path.name}: outputs in {cell.id}"
                )


def test_make_targets_and_ci_are_what_the_documents_say() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("help", "demo", "test", "lint", "lab", "bench"):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
