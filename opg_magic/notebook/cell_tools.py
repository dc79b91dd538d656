"""``--tools``: functions of the notebook that the model of a cell may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import Line, LineError
from opg_magic.notebook.commands.command import Kernel

if TYPE_CHECKING:
    from opg_magic.models import Answer, Prompt
    from opg_magic.shapes.functions import Tool

#: What does not go with functions: a cell that waits asks one host, and its last answer is a text.
_APART = ("hosts", "bg", "schema", "format", "over")


def of_line(kernel: Kernel, line: Line) -> tuple[Tool, ...]:
    """The functions of ``--tools``.  Raises LineError and ArgumentError; nothing was sent."""
    named = line.get("tools")
    if named is None:
        for flag in ("tools_confirm", "max_rounds"):
            if line.get(flag) is not None:
                raise LineError(f"--{flag.replace('_', '-')} needs --tools")
        return ()
    for flag in _APART:
        if line.get(flag) is not None:
            raise LineError(f"--tools does not go with --{flag}")
    from opg_magic.shapes.functions import tools_of

    namespace = kernel.shell.user_ns
    names = [name.strip(" ") for name in named.split(",")]
    if not all(names):
        raise LineError(f"--tools {named}: a name is missing beside a comma")
    for name in names:
        found = namespace.get(name)
        if not callable(found):
            near = {key: value for key, value in namespace.items() if callable(value)}
            raise LineError(
                f"--tools: {name} is not a function of yours" + magic_line.did_you_mean(name, near)
            )
        own = getattr(found, "__name__", None)
        if own != name:
            raise LineError(f"--tools: {name} holds the function {own}; give that name")
    return tools_of(namespace[name] for name in names)


def with_tools(prompt: Prompt, tools: tuple[Tool, ...]) -> Prompt:
    """The prompt with what its request says of the functions."""
    if not tools:
        return prompt
    from opg_magic.call import tools as calling

    return calling.with_tools(prompt, tools)


def rounds(
    ask: Callable[[Prompt], Answer], prompt: Prompt, tools: tuple[Tool, ...], line: Line
) -> Callable[[], Answer]:
    """Every round of a cell; each shows a card of its own, with the calls that it asks for."""
    from opg_magic.call.tools import MAX_ROUNDS, ask_the_user, run_rounds

    never = line.get("tools_confirm") == "never"
    most = MAX_ROUNDS if line.get("max_rounds") is None else line.get("max_rounds")
    if not 1 <= most <= 64:
        raise LineError("--max-rounds must be 1 to 64")
    return lambda: run_rounds(
        ask, prompt, tools, confirm=None if never else ask_the_user, max_rounds=most
    )
