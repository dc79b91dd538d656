"""Build the JupyterLab extension, where its sources are newer than what was built, and put it into
this environment.

``--quick`` builds what ``make lab`` needs with the compiler and the bundler alone, some 30 packages
of 800: the same files, but nothing checks their types.  With ``--optional``, a machine without Node
is told what it does without, and that is all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "labextension"
BUILT = ROOT / "opg_magic" / "labextension"
INSTALLED = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "opg-magic"
#: Made last by a build, and touched here after one: its time is the build's.
MARK = BUILT / "package.json"
#: Where a quick build is made, beside what the sources read of the package.
STAGE = ROOT / "build" / "quick" / "labextension"
#: Of package.json: what compiles and bundles.  What goes into the bundle besides is found there.
TOOLS = ("@jupyter/builder", "typescript")
#: What JupyterLab itself brings is not bundled.
BROUGHT = ("@codemirror/", "@jupyterlab/", "@lumino/", "react")


def main() -> int:
    if stale():
        if shutil.which("node") is None:
            print(
                "Node is not here: the JupyterLab extension is not built, and answers show as "
                "plain HTML."
            )
            return 0 if "--optional" in sys.argv else 1
        print("Building the JupyterLab extension:", flush=True)
        quick() if "--quick" in sys.argv else whole()
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


def whole() -> None:
    """With all packages, and every type checked."""
    with step("1 of 2: packages") as say:
        # The package manager copies one package of a tree from another, and now and then before
        # that one is there.
        jlpm("install", tries=2, heard=fetched(say))
    with step("2 of 2: compile and bundle"):
        jlpm("build:prod")


def quick() -> None:
    """The same files by the same tools, without the packages that only types and tests need."""
    shutil.rmtree(STAGE.parent / "opg_magic", ignore_errors=True)
    for folder in ("receipt/schema", "protocol"):
        shutil.copytree(
            ROOT / "opg_magic" / folder,
            STAGE.parent / "opg_magic" / folder,
            ignore=shutil.ignore_patterns("*.py", "__pycache__"),
        )
    for folder in ("src", "style", "schema"):
        shutil.rmtree(STAGE / folder, ignore_errors=True)
        shutil.copytree(
            SOURCES / folder, STAGE / folder, ignore=shutil.ignore_patterns("__tests__")
        )
    for path in SOURCES.iterdir():
        if path.is_file():
            shutil.copy(path, STAGE)
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    (STAGE / "package.json").write_text(json.dumps(tools_of(package)), encoding="utf-8")
    with step("1 of 3: packages") as say:
        # The lock is cut down to these packages: each stays as the whole one has it.
        jlpm("install", "--mode=skip-build", tries=2, at=STAGE, heard=fetched(say), immutable=False)
        added = set(locked(STAGE / "yarn.lock")) - set(locked(SOURCES / "yarn.lock"))
        if added:
            raise SystemExit(f"labextension/yarn.lock does not have {', '.join(sorted(added))}.")
    with step("2 of 3: compile"):
        run(["node", "build-schema.mjs"], at=STAGE)
        run(["node", "transpile.mjs"], at=STAGE)
    with step("3 of 3: bundle"):
        shutil.copy(SOURCES / "package.json", STAGE)
        run([tool("jupyter-builder"), "build", "."], at=STAGE)
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.copytree(STAGE.parent / "opg_magic" / "labextension", BUILT)


def tools_of(package: dict[str, Any]) -> dict[str, Any]:
    """``package`` with what a build runs or bundles as its only packages."""
    wanted = {
        **{
            name: range_
            for name, range_ in package["dependencies"].items()
            if not name.startswith(BROUGHT)
        },
        **{name: package["devDependencies"][name] for name in TOOLS},
    }
    kept = ("name", "version", "private", "license", "resolutions")
    return {key: package[key] for key in kept} | {"dependencies": wanted}


def locked(lock: Path) -> Iterator[str]:
    """The packages of a lock with their versions and checksums."""
    for block in lock.read_text(encoding="utf-8").split("\n\n"):
        said = dict(
            line.strip().split(": ", 1) for line in block.splitlines() if ": " in line.strip()
        )
        if "checksum" in said:
            yield f"{said['resolution']} {said['checksum']}"


@contextmanager
def step(name: str) -> Iterator[Callable[[str], None]]:
    """Say what is under way and how long it took; what is said meanwhile shows on a terminal."""
    begun, live = time.monotonic(), sys.stdout.isatty()
    start = f"  {name} ..."
    print(start, end="", flush=True)

    def say(words: str) -> None:
        if live:
            print(f"\r{start} {words}\x1b[K", end="", flush=True)

    try:
        yield say
    except BaseException:
        print(" failed", flush=True)
        raise
    say("")
    print(f" {time.monotonic() - begun:.0f} s", flush=True)


def fetched(say: Callable[[str], None]) -> Callable[[str], None]:
    """What listens to the package manager and says how many packages have come."""
    seen: set[str] = set()

    def heard(line: str) -> None:
        if "YN0013" in line:
            seen.add(line.partition("│")[2].split(" can")[0])
            say(f"{len(seen)} fetched")

    return heard


def tool(name: str) -> str:
    """A command beside this Python, or on the PATH where pip builds in an environment of its
    own."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def jlpm(*arguments: str, tries: int = 1, immutable: bool = True, **options: Any) -> None:
    """The package manager that comes with jupyter-builder."""
    extra = {} if immutable else {"YARN_ENABLE_IMMUTABLE_INSTALLS": "0"}
    run([tool("jlpm"), *arguments], tries=tries, extra=extra, **options)


def run(
    command: list[str],
    *,
    at: Path = SOURCES,
    tries: int = 1,
    extra: dict[str, str] | None = None,
    heard: Callable[[str], None] = lambda line: None,
) -> None:
    """Run a command, quiet unless it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for _ in range(tries):
        said = []
        with subprocess.Popen(
            command,
            cwd=at,
            env={**os.environ, **(extra or {}), "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                said.append(line)
                heard(line)
        if running.returncode == 0:
            return
    sys.stderr.write("".join(said)[-8000:])
    words = " ".join([Path(command[0]).name, *command[1:]])
    raise SystemExit(f"{words} failed with {running.returncode}")


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
