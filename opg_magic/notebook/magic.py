"""``%%opg`` and ``%opg``: the magics, their settings, and how an extension brings and takes them.
Thin, and light to load."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Any as AnyTrait
from traitlets import TraitError, observe, validate

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import LineError
from opg_magic.display import output
from opg_magic.errors import ConfigError
from opg_magic.notebook import cell as opg_cell
from opg_magic.notebook import completion
from opg_magic.notebook.commands import COMMANDS, help_text

if TYPE_CHECKING:
    from opg_magic.call.beside import PendingCall
    from opg_magic.call.session import Session
    from opg_magic.models import Answer

_TRAITS = (
    "model",
    "network",
    "policy",
    "timeout",
    "max_cost_per_call",
    "max_cost_per_kernel",
    "max_cost_per_day",
    "skew",
)


def _setting(help: str) -> Any:
    return AnyTrait(None, allow_none=True, help=help + " (None: as %opg config shows)").tag(
        config=True
    )


@magics_class
class OpgMagics(Magics):  # type: ignore[misc]
    """Verified AI calls.  Each trait is a setting of this kernel; ``%opg config`` shows where each
    comes from."""

    model = _setting("Model asked for when a cell names none")
    network = _setting("Network that answers: sim or opengradient")
    policy = _setting("Which claims must pass: default, strict or audit")
    timeout = _setting("Seconds until a call is given up")
    max_cost_per_call = _setting("OPG that one call may put at risk")
    max_cost_per_kernel = _setting("OPG that one kernel may put at risk")
    max_cost_per_day = _setting("OPG that all kernels may put at risk in a UTC day")
    skew = _setting("Seconds that a host's clock may be off")

    def __init__(self, shell: Any = None, **kwargs: Any) -> None:
        #: Settings that the session has not been told yet.
        self._untold: dict[str, Any] = {}
        super().__init__(shell=shell, **kwargs)

    # ------------------------------------------------------------------------------------- settings

    @validate(*_TRAITS)  # type: ignore[untyped-decorator]
    def _valid(self, proposal: Any) -> Any:
        from opg_magic.settings.catalogue import setting

        if proposal["value"] is None:
            return None
        try:
            setting(proposal["trait"].name).convert(proposal["value"])
        except ValueError as problem:
            raise TraitError(
                f"{proposal['trait'].name} must be {problem}, not {proposal['value']!r}"
            ) from None
        except ConfigError as problem:
            raise TraitError(problem.message) from None
        return proposal["value"]

    @observe(*_TRAITS)  # type: ignore[untyped-decorator]
    def _changed(self, change: Any) -> None:
        # Told to the session when it is next used: loading the extension, or %config, makes none.
        self._untold[change["name"]] = change["new"]

    # ---------------------------------------------------------------- what commands and cells use

    def session(self) -> Session:
        """The session of this kernel, told what was set since."""
        from opg_magic.call.session import current_session

        session = current_session()
        while self._untold:
            key, value = self._untold.popitem()
            if value is None:
                session.settings.unset(key)
            else:
                session.settings.set(key, value)
        return session

    def set(self, key: str, value: str) -> None:
        """Make a setting of this kernel.  Raises ConfigError for a value that it cannot have."""
        if key not in _TRAITS:
            self.session().settings.set(key, value)
            return
        # One way in: the trait shows what was set last, whichever magic set it.
        try:
            setattr(self, key, value)
        except TraitError as problem:
            raise ConfigError(str(problem)) from None
        self._untold[key] = value

    def display(self, bundle: dict[str, Any]) -> None:
        """Show a MIME bundle below the cell."""
        self.shell.display_pub.publish(data=bundle, metadata={})

    def result(self, value: Any) -> None:
        """``_`` and ``Out``, without a second display."""
        hook = self.shell.displayhook
        hook.update_user_ns(value)
        hook.fill_exec_result(value)

    # ----------------------------------------------------------------------------------- the magics

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def opg(self, line: str, cell: str | None = None) -> Any:
        # The docstring is set below, from the tables.
        try:
            if cell is None:
                return self._command(line)
            opg_cell.run(self, magic_line.parse(line, self.shell.user_ns), line, cell)
        except LineError as problem:
            raise UsageError(f"{problem}\nHelp: %opg help") from None
        return None

    def _command(self, line: str) -> Any:
        name, *words = magic_line.split(line) or ["status"]
        if name in ("--help", "-h"):
            name = "help"
        command = COMMANDS.get(name)
        if command is None:
            raise LineError(f"%opg has no command {name}" + magic_line.did_you_mean(name, COMMANDS))
        if "--help" in words:
            print(f"%opg {command.usage}\n    {command.help}")
            return None
        return command.run(self, [magic_line.looked_up(word, self.shell.user_ns) for word in words])


OpgMagics.opg.__doc__ = help_text()


# ---------------------------------------------------------------------------------- load and unload


def _whole_cell(lines: list[str]) -> list[str]:
    """A lone ``%%opg …`` line gets an empty body, so that --help and an empty cell reach the magic
    itself."""
    if len(lines) == 1 and lines[0].split()[:1] == ["%%opg"]:
        return [lines[0] if lines[0].endswith("\n") else lines[0] + "\n", "\n"]
    return lines


# Not used to judge whether a cell is complete: in a terminal that would end the cell before its
# prompt is typed.
_whole_cell.has_side_effects = True  # type: ignore[attr-defined]

_ANSWER = ("opg_magic.models.answers", "Answer")
_PENDING = ("opg_magic.call.beside", "PendingCall")


def _format_answer(answer: Answer, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from opg_magic.display.bundle import answer_bundle

    return answer_bundle(answer)


def _format_pending(pending: PendingCall[Any], include: Any = None, exclude: Any = None) -> Any:
    from opg_magic.models import Answer

    answer = pending.wait() if pending.done() and not pending.failed() else None
    return _format_answer(answer) if isinstance(answer, Answer) else None


def load(shell: Any) -> None:
    """Register the magics, completion, and how an Answer shows itself.  Imports nothing heavy."""
    unload(shell, end_session=False)
    # A terminal of another encoding: an answer that is paid for must not end in an error of its
    # display.
    output.never_fails(
        *(
            stream
            for stream in (sys.stdout, sys.stderr)
            if not output.holds("\N{CHECK MARK}…", stream)
        )
    )
    magics = OpgMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(_whole_cell)
    if shell.Completer is not None:
        matcher = completion.matcher(COMMANDS)
        shell.Completer.custom_matchers.append(matcher)
    for (module, name), shown in ((_ANSWER, _format_answer), (_PENDING, _format_pending)):
        shell.display_formatter.mimebundle_formatter.for_type_by_name(module, name, shown)


def unload(shell: Any, *, end_session: bool = True) -> None:
    """Take away what :func:`load` brought, and end the session."""
    magics = shell.magics_manager.registry.pop(OpgMagics.__name__, None)
    if magics is not None:
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("opg", None)
        shell.configurables[:] = [c for c in shell.configurables if c is not magics]
    while _whole_cell in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(_whole_cell)
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [
            m for m in matchers if getattr(m, "matcher_identifier", None) != completion.IDENTIFIER
        ]
    if magics is not None and end_session:
        session = sys.modules.get("opg_magic.call.session")
        if session is not None:
            session.close_current_session()
