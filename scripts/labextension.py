"""Build the JupyterLab extension, where its sources are newer than what was built, and put it into
this environment.

With ``--optional``, a machine without Node is told what it does without, and that is all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "labextension"
BUILT = ROOT / "opg_magic" / "labextension"
INSTALLED = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "opg-magic"
#: Made last by a build, and touched here after one: its time is the build's.
MARK = BUILT / "package.json"


def main() -> int:
    if stale():
        if shutil.which("node") is None:
            print(
                "Node is not here: the JupyterLab extension is not built, and answers show as "
                "plain HTML."
            )
            return 0 if "--optional" in sys.argv else 1
        print("Building the JupyterLab extension ...", flush=True)
        # The package manager copies one package of a tree from another, and now and then before
        # that one is there.
        jlpm("install", tries=2)
        jlpm("build:prod")
        MARK.touch()
    install()
    return 0


def stale() -> bool:
    """Whether anything that goes into the extension is younger than the extension."""
    if not MARK.exists():
        return True
    inputs = [
        path for path in SOURCES.iterdir() if path.is_file() and path.suffix != ".tsbuildinfo"
    ]
    for folder in ("src", "style", "schema"):
        inputs += [
            path
            for path in (SOURCES / folder).rglob("*")
            if path.is_file() and "__tests__" not in path.parts
        ]
    return max(path.stat().st_mtime for path in inputs) > MARK.stat().st_mtime


def jlpm(*arguments: str, tries: int = 1) -> None:
    """The package manager that comes with jupyter-builder, quiet unless it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [str(Path(sys.executable).parent / "jlpm"), *arguments]
    for _ in range(tries):
        done = subprocess.run(
            command,
            cwd=SOURCES,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode == 0:
            break
    else:
        sys.stderr.write(done.stdout[-8000:])
        raise SystemExit(f"{' '.join(['jlpm', *arguments])} failed with {done.returncode}")


def install() -> None:
    """A copy, not a link: pip removes what it installed here, and must not reach the build through
    a link."""
    if INSTALLED.is_symlink():
        INSTALLED.unlink()
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(BUILT, INSTALLED)
    shutil.copy(SOURCES / "install.json", INSTALLED)


if __name__ == "__main__":
    raise SystemExit(main())
