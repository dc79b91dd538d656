"""A model in a child process: started once, asked as often as wanted, ended with the block.

Native code that crashes, a file that is too large, a stop pressed in the notebook: the child ends,
and the kernel says why."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from opg_magic.errors import WeightsError
from opg_magic.weights import gguf, llama

#: Bytes that the child may map beyond the file itself: libraries, threads' stacks, a context.
_ROOM = 6 * 1024**3
#: A model takes about its file's size in memory, and this besides.
_WORKING = 512 * 1024**2
#: Tokens that prompt and answer may have together, where the model itself takes more.
MOST_TOKENS = 32_768


class Closing:
    """What is closed with its block."""

    def close(self) -> None:
        """End what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Runner(Closing):
    """Weights that are loaded in a child process.

    ``threads``: 0 is half of this machine's processors, at most 4.  ``timeout`` is for loading and
    for each run, in seconds.  Raises WeightsError where the file cannot be run here, before a
    process is started if its header or size tells."""

    def __init__(
        self, path: Path, *, threads: int = 0, batch: int = llama.PASS, timeout: float = 300.0
    ) -> None:
        self.path = path
        self.header = examine(path)
        self.threads = threads or max(1, min(4, (os.cpu_count() or 2) // 2))
        self.timeout = timeout
        self.most = min(self.header.context or MOST_TOKENS, MOST_TOKENS)
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = self._started()
        started = {"path": str(path.resolve()), "context": min(1024, self.most)}
        try:
            told = self._asked({**started, "threads": self.threads, "batch": batch})
        except BaseException:
            self.close()
            raise
        self.runtime: str = told["runtime"]
        self.llama_cpp: str = told["llama_cpp"]

    def _started(self) -> subprocess.Popen[str]:
        limit = self.path.stat().st_size * 2 + _ROOM
        process = subprocess.Popen(  # noqa: S603 - this very package
            [sys.executable, "-P", "-c", _START, str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            # Ctrl-C in a terminal goes to the whole group: the parent decides what ends.
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """One run in the child (:func:`opg_magic.weights.worker.run`).  Raises WeightsError if it
        cannot be run; where it took too long, crashed or was interrupted, the child is gone."""
        try:
            return self._asked({**job, "most": self.most})
        except WeightsError:
            raise
        except BaseException:
            self.close()
            raise

    def _asked(self, job: Mapping[str, Any]) -> dict[str, Any]:
        pipe = self._process.stdin
        if pipe is None or self._process.poll() is not None:
            raise WeightsError("The process that runs the model has ended; start it again.")
        try:
            pipe.write(json.dumps(job) + "\n")
            pipe.flush()
            line = self._lines.get(timeout=self.timeout)
        except queue.Empty:
            self.close()
            raise WeightsError(
                f"The model gave no result within {self.timeout:.0f} s; it was stopped."
            ) from None
        except OSError:
            line = ""
        if not line:
            code = self._process.wait(timeout=10)
            raise WeightsError(
                f"llama.cpp ended while it ran {self.path.name} (code {code}): the file may be"
                " damaged, or larger than this machine's memory allows."
            )
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise WeightsError(result["error"], hint=result.get("hint"))
        return result

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the child process, at once."""
        self._process.kill()
        self._process.wait(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


#: The child bounds its own memory before it loads anything.
_START = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
from opg_magic.weights.worker import main
main()
"""


def examine(path: Path) -> gguf.Header:
    """The header of a file that can be run here, as far as header, size and runtime tell without
    loading it.  Raises WeightsError for every other."""
    header = gguf.read(path)
    llama.version()
    _fits(path)
    return header


def _fits(path: Path) -> None:
    """Refuse a file that this machine's free memory cannot hold."""
    free = _free_memory()
    needed = path.stat().st_size + _WORKING
    if free is not None and needed > free:
        raise WeightsError(
            f"{path.name} needs about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are"
            " free."
        )


def _free_memory() -> int | None:
    """Bytes that can be had without swapping (Linux); None where that is not told."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
