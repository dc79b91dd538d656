"""``%opg login``, ``logout`` and ``whoami``: the sign-in of the private route."""

from __future__ import annotations

from opg_magic.cells.magic_line import LineError
from opg_magic.notebook.commands.command import Kernel, no_more


def login(kernel: Kernel, words: list[str]) -> None:
    """``%opg login``"""
    if words not in ([], ["--no-browser"]):
        # The words are not repeated: one may be a token.
        raise LineError("%opg login takes --no-browser only. Paste a sign-in at its prompt.")
    from opg_magic.wallet.login import log_in

    session = kernel.session()
    log_in(session.network, no_browser=bool(words), in_kernel=True)
    session.settings.reload()


def logout(kernel: Kernel, words: list[str]) -> None:
    """``%opg logout``"""
    no_more(words, "logout")
    from opg_magic.wallet.login import log_out

    log_out(kernel.session().network)


def whoami(kernel: Kernel, words: list[str]) -> None:
    """``%opg whoami``"""
    no_more(words, "whoami")
    from opg_magic.wallet.login import who_am_i

    who_am_i(kernel.session().network)
