"""What a ``%opg`` command is, and what it may use of the kernel that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from opg_magic.cells.magic_line import LineError

if TYPE_CHECKING:
    from opg_magic.call.session import Session


class Kernel(Protocol):
    """The kernel as a command sees it; :class:`opg_magic.notebook.magic.OpgMagics` is one."""

    #: IPython's shell.
    shell: Any

    def session(self) -> Session:
        """The session of this kernel, with the settings that were made since its last use."""

    def set(self, key: str, value: str) -> None:
        """Make a setting of this kernel.  Raises ConfigError for a value that it cannot have."""

    def display(self, bundle: dict[str, Any]) -> None:
        """Show a MIME bundle below the cell."""

    def result(self, value: Any) -> None:
        """Make ``value`` the cell's result (``_`` and ``Out``) without showing it again."""


@dataclass(frozen=True, slots=True)
class Command:
    """One ``%opg`` command.  ``help`` begins with a verb; ``run`` is given the words after the
    command's name, and what it returns is the cell's result."""

    usage: str
    help: str
    run: Callable[[Kernel, list[str]], Any]


def no_more(words: list[str], command: str) -> None:
    """Refuse words after a command that takes none (LineError)."""
    if words:
        raise LineError(f"%opg {command} takes no arguments (got {words[0]})")


def table(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> Any:
    """Rows as a DataFrame, by their first column."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).set_index(columns[0])
