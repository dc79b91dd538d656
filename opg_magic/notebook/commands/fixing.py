"""``%opg fix``: the last error as a ``%%opg`` cell, to be read, edited and run like any other.

Nothing is sent here.  No value of a local variable is taken; what looks like a secret in the
message or in the code is left out, and how often is said."""

from __future__ import annotations

import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from opg_magic.cells.magic_line import LineError
from opg_magic.errors import CallInterrupted, OpgError
from opg_magic.models.secret import Secret
from opg_magic.notebook.commands.command import Kernel, no_more
from opg_magic.settings import environment

#: Characters of a traceback, of which the end counts most, and of the cell.
_MOST, _HEAD, _MOST_OF_CELL = 6000, 1500, 3000
_GONE = "[left out]"

_NAMED_SO = re.compile(
    r"PASS(?:WORD|PHRASE|WD)|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|MNEMONIC|SEED|CREDENTIAL|KEYSTORE"
    r"|^KEY$|_KEY$|AUTH",
    re.IGNORECASE,
)
#: What is a secret by its look.  A group "keep" stays.
_LOOKS_SO = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        (r"\b(?:0x)?[0-9a-fA-F]{64}\b", 0),
        (r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}", 0),
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", 0),
        (r"\bgh[pousr]_[A-Za-z0-9]{20,}", 0),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", 0),
        (r"(?P<keep>\w://)[^\s/@:]*:[^\s/@]+(?=@)", 0),
        (r"(?P<keep>\bBearer\s+)[\w.~+/-]{8,}=*", re.IGNORECASE),
        (
            r"(?P<keep>\b\w*(?:password|passphrase|passwd|secret|token|api_?key|private_?key)\w*"
            r"[\"']?\s*[=:]\s*[rbfu]{0,2}[\"'])[^\"'\n]+",
            re.IGNORECASE,
        ),
    )
)


def fix(kernel: Kernel, words: list[str]) -> None:
    """``%opg fix``"""
    no_more(words, "fix")
    error = getattr(sys, "last_value", None)
    if error is None:
        raise LineError("there was no error in this kernel yet")
    if _is_ours(error):
        raise LineError("the last error is of opg_magic itself: its message says what to do")
    text, left_out = _prompt(kernel.shell, error)
    kernel.shell.set_next_input(f"%%opg explanation\n{text}")
    said = [f"The next cell asks a model to explain the {type(error).__name__}. Nothing was sent."]
    said.append("Read it, change it, run it: it is paid and checked like any other cell.")
    if left_out:
        values = "One value that looks" if left_out == 1 else f"{left_out} values that look"
        said.append(f"{values} like a secret {'is' if left_out == 1 else 'are'} left out.")
    print("\n".join(said))


def _is_ours(error: BaseException) -> bool:
    return isinstance(error, (OpgError, CallInterrupted)) or type(error).__name__ == "UsageError"


def _prompt(shell: Any, error: BaseException) -> tuple[str, int]:
    """The prompt about an error, and how many values were left out of it."""
    secrets = _secrets_of(error)
    told, first = _clean(_traceback(shell, error).rstrip(), secrets)
    parts = [
        "Explain this Python error: first its cause, then the smallest change that fixes it.",
        _fenced(_middle_cut(told)),
    ]
    second = 0
    source = _cell_of(error)
    if source:
        code, second = _clean(source, secrets)
        parts += ["The cell that failed:", _fenced(code[:_MOST_OF_CELL].rstrip(), "python")]
    return "\n\n".join(parts), first + second


def _traceback(shell: Any, error: BaseException) -> str:
    whole = traceback.TracebackException.from_exception(error)  # takes no locals
    for one in _chain(whole):
        frames = list(one.stack)
        while frames and frames[0].filename.endswith("interactiveshell.py"):
            frames.pop(0)
        for frame in frames:
            _ = frame.line  # read before the name changes
            frame.filename = _shown_name(shell, frame.filename)
        one.stack[:] = frames
    return "".join(whole.format())


def _chain(
    error: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _shown_name(shell: Any, filename: str) -> str:
    """A file without the folders of this machine; a cell by its number."""
    named = getattr(shell.compile, "format_code_name", lambda _: None)(filename)
    if named is not None:
        return " ".join(named)
    return "/".join(filename.replace("\\", "/").split("/")[-2:])


def _cell_of(error: BaseException) -> str:
    """The source of the cell in which the error came up; "" if it did in none."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if frame.f_code.co_name.startswith("<module>") or frame.f_globals.get("get_ipython"):
            lines = linecache.getlines(name)
            if lines and not name.endswith("interactiveshell.py"):
                return "".join(lines)
    return ""


def _secrets_of(error: BaseException) -> list[Secret[str]]:
    """Texts that must not be in the prompt, by the names of what holds them: variables of the
    frames, of the notebook, of the environment.  Wrapped, as a traceback may show locals."""
    held = [Secret(text) for name, text in os.environ.items() if _NAMED_SO.search(name)]
    held = [one for one in held if len(one.reveal()) >= 8]  # "false", "1" and the like are none
    own = environment.secret("OPG_PRIVATE_KEY")
    held += [own] if own is not None else []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        notebook = frame.f_globals if frame.f_globals.get("__name__") == "__main__" else {}
        for name, value in {**notebook, **frame.f_locals}.items():
            if isinstance(value, Secret) or _NAMED_SO.search(name):
                held += [one for one in _texts_of(value) if len(one.reveal().strip()) >= 4]
    return sorted(held, key=lambda one: -len(one.reveal()))


def _texts_of(value: Any) -> list[Secret[str]]:
    plain = value if isinstance(value, Secret) else Secret(value)
    if isinstance(plain.reveal(), bytes):
        return [Secret(plain.reveal().decode("utf-8", "replace")), Secret(plain.reveal().hex())]
    return [plain] if isinstance(plain.reveal(), str) else []


def _clean(text: str, secrets: list[Secret[str]]) -> tuple[str, int]:
    count = 0
    for secret in secrets:
        count += text.count(secret.reveal())
        text = text.replace(secret.reveal(), _GONE)
    for look in _LOOKS_SO:
        text, more = look.subn(lambda match: (match.groupdict().get("keep") or "") + _GONE, text)
        count += more
    return text, count


def _middle_cut(text: str) -> str:
    if len(text) <= _MOST:
        return text
    left = len(text) - _MOST
    return f"{text[:_HEAD]}\n[… {left:,} characters left out …]\n{text[_HEAD + left :]}"


def _fenced(text: str, language: str = "") -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
