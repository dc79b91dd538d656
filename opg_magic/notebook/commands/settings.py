"""``%opg status``, ``use`` and ``config``: what is in force in this kernel."""

from __future__ import annotations

from typing import Any

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import LineError
from opg_magic.notebook import completion
from opg_magic.notebook.commands.command import Kernel, no_more, table


def status(kernel: Kernel, words: list[str]) -> Any:
    """``%opg status``"""
    no_more(words, "status")
    return table(
        [(key, str(value)) for key, value in kernel.session().overview.status().items()],
        ("", "status"),
    )


def use(kernel: Kernel, words: list[str]) -> None:
    """``%opg use``"""
    if len(words) != 1:
        raise LineError("%opg use takes one network: sim or opengradient")
    if words[0] not in completion.networks():
        raise LineError(
            f"no network {words[0]}"
            + (
                magic_line.did_you_mean(words[0], dict.fromkeys(completion.networks()))
                or "; use sim or opengradient"
            )
        )
    network = kernel.session().use(words[0])
    real = (
        "simulated: no hardware vouches for it, no real money"
        if network.simulated
        else "real: calls cost OPG"
    )
    print(f"{network.title} is in use in this kernel ({real}).")


def config(kernel: Kernel, words: list[str]) -> Any:
    """``%opg config``"""
    from opg_magic.settings.catalogue import setting

    session = kernel.session()
    if not words:
        for note in session.settings.ignored():
            print(note)
        return table(list(session.settings.rows()), ("setting", "value", "from", "meaning"))
    key = setting(words[0]).key
    if len(words) > 2:
        raise LineError(f"%opg config {key} takes one value: quote it if it has spaces")
    if len(words) == 2:
        kernel.set(key, words[1])
        session = kernel.session()
    shown = session.settings.shown(key, session.settings.get(key))
    print(f"{key} = {shown}   (from: {session.settings.origin(key)})")
    if len(words) == 2 and setting(key).convert(words[1]) != session.settings.get(key):
        print(
            f"{words[1]} would loosen your own setting, so it is not in force. In a shell: opg "
            f"config {key} VALUE"
        )
    return None
