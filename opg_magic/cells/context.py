"""What is sent around a cell's text: a template of the user's own, and files.

The form of both is read again by ``opg verify`` and by the browser (``isPromptOf`` in
labextension/src/cells/grammar.ts), which hold a signed prompt against its cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from opg_magic.errors import ArgumentError
from opg_magic.settings.paths import expanded

#: Bytes of all files of one prompt: more is rarely meant, and no model reads it.
MOST_BYTES = 1_000_000
#: What the text of a pipe is called in a prompt.
PIPED = "standard input"
#: Where the cell goes in a template.
PLACE = "{{cell}}"
_BACKTICKS = re.compile("`+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Whatever the cell is for, nobody means to send this.
_SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class File:
    """A text file that is sent with a prompt.  ``size`` in bytes."""

    name: str
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Composed:
    """A prompt with all that goes with it.

    ``template`` is the same with a place for what does not stand in the cell, None if nothing was
    added; ``names`` says what was: "template summarise", "file a.csv"."""

    text: str
    template: str | None
    names: tuple[str, ...] = ()


def base_name(path: str) -> str:
    """Return a file's name without the folders before it, whichever system's."""
    return re.split(r"[/\\]", path)[-1]


def heading(path: str) -> str:
    """Return what begins a file in a prompt, up to its size."""
    return f"\n\nFile {base_name(path)} ("


def read_files(paths: Sequence[str], piped: bytes | None = None) -> tuple[File, ...]:
    """Read the files of ``--file``; ``piped`` stands for ``-`` among them.

    Raises :class:`ArgumentError` for one that cannot be sent: missing, not UTF-8 text, larger than
    :data:`MOST_BYTES` together, or holding a private key."""
    files = tuple(
        _read(path) if piped is None or path != "-" else _sent(PIPED, piped) for path in paths
    )
    total = sum(file.size for file in files)
    if total > MOST_BYTES:
        raise ArgumentError(
            f"The files have {total:,} bytes; at most {MOST_BYTES:,} can be sent with a prompt. "
            "Nothing was sent.",
            hint="Send a part of them, or a summary.",
        )
    return files


def _read(path: str) -> File:
    name = base_name(path)
    if not name or _CONTROLS.search(name):
        raise ArgumentError(f"--file {path!r} does not end in a file's name. Nothing was sent.")
    try:
        raw = _bounded(expanded(path))
    except ArgumentError:
        raise
    except OSError as problem:
        raise ArgumentError(
            f"Cannot read {name}: {problem.strerror or type(problem).__name__}. Nothing was sent."
        ) from None
    except ValueError:
        raise ArgumentError(f"Cannot read {name}: its path is no path. Nothing was sent.") from None
    return _sent(name, raw)


def _sent(name: str, raw: bytes) -> File:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArgumentError(
            f"{name} is not UTF-8 text. Nothing was sent.", hint="Only text files can be sent."
        ) from None
    if _SECRET.search(text):
        raise ArgumentError(f"{name} holds a private key. Nothing was sent.")
    return File(name, len(raw), text.replace("\r\n", "\n"))


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ArgumentError(
            f"{path.name} has more than {MOST_BYTES:,} bytes. Nothing was sent.",
            hint="Send a part of it, or a summary.",
        )
    return raw


def chosen(name: str, templates: Mapping[str, str]) -> str:
    """Return the template of that name.  Raises :class:`ArgumentError` if there is none."""
    found = templates.get(name)
    if found is not None:
        return found
    near = get_close_matches(name, templates, n=1)
    hint = (
        f"Did you mean {near[0]}?"
        if near
        else f'Make it, in a shell: opg config templates.{name} "Summarise: {PLACE}"'
    )
    raise ArgumentError(f"You have no template {name[:80]!r}. Nothing was sent.", hint=hint)


def compose(
    text: str,
    *,
    template: tuple[str, str] | None = None,
    files: Sequence[File] = (),
    typed: str | None = None,
) -> Composed:
    """Return the prompt that a cell's ``text`` makes with a ``template`` (name and text) and
    ``files``.

    ``typed`` is the cell before ``--vars`` filled it in, where that was asked for."""
    if template is None and not files:
        return Composed(text, typed)
    kept = text if typed is None else typed
    names = [f"template {template[0]}"] if template is not None else []
    if template is not None:
        text, kept = (template[1].replace(PLACE, one) for one in (text, kept))
    for file in files:
        names.append(f"file {file.name}")
        text += _block(file, file.text)
        kept += _block(file, "{{file}}")
    return Composed(text, kept, tuple(name[:256] for name in names))


def _block(file: File, text: str) -> str:
    longest = max(map(len, _BACKTICKS.findall(file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{heading(file.name)}{file.size:,} bytes):\n{fence}\n{text}{end}{fence}"
