"""The commands of ``%opg``, each a function of the kernel and its words.

A new one is a function in one of these files and a line in :data:`COMMANDS`: help, completion and
the guide read that table."""

from __future__ import annotations

from opg_magic.cells import magic_line
from opg_magic.notebook.commands import (
    auditing,
    chatting,
    coding,
    doctor,
    fixing,
    ledger,
    login,
    network,
    settings,
)
from opg_magic.notebook.commands.command import Command, Kernel

__all__ = ["COMMANDS", "Command", "Kernel", "help_text"]


def _help(kernel: Kernel, words: list[str]) -> None:
    print(help_text())


COMMANDS: dict[str, Command] = {
    "status": Command(
        "status", "show this kernel's network, policy, limits and wallet", settings.status
    ),
    "doctor": Command(
        "doctor [--json]",
        "check whether a call can be made now, and how to fix what prevents it",
        doctor.doctor,
    ),
    "use": Command("use sim|opengradient", "choose the network of this kernel", settings.use),
    "config": Command(
        "config [KEY [VALUE]]",
        "show each setting and where it comes from; set one for this kernel",
        settings.config,
    ),
    "hosts": Command(
        "hosts", "check all hosts now: registry, certificate, attestation", network.hosts
    ),
    "models": Command("models", "list models and their prices, as last seen", network.models),
    "receipts": Command(
        "receipts [WORDS] [FILTER=VALUE]…",
        "show the ledger as a DataFrame, one row per call; search for words",
        ledger.receipts,
    ),
    "show": Command(
        "show ID|last [--unverified]", "show a saved answer again, at no cost", ledger.show
    ),
    "verify": Command(
        "verify [ID|last] [--weights]",
        "check a saved answer again; run the open weights that you trust over it",
        ledger.verify,
    ),
    "code": Command(
        "code [ID|last]", "make a cell of a saved answer's code; it is not run", coding.code
    ),
    "fix": Command("fix", "make a cell that asks a model to explain the last error", fixing.fix),
    "audit-model": Command(
        "audit-model [MODEL] --record|--reference REF.json",
        "compare a model's answers to short questions with a reference; each is paid: --max-cost C",
        auditing.audit_model,
    ),
    "chat": Command(
        "chat [list|show NAME|fork NAME NEW|forget NAME|export NAME FILE]",
        "list the chats of --chat; show one, branch it off, send it no more, write its receipts",
        chatting.chat,
    ),
    "cost": Command("cost", "show spending against each limit", ledger.cost),
    "reconcile": Command(
        "reconcile", "look up on the chain what open payments came to", ledger.reconcile
    ),
    "settle": Command(
        "settle [--watch]", "look for batches that hold your calls' hashes", ledger.settle
    ),
    "stop": Command("stop", "end the calls that run beside your work (--bg)", network.stop),
    "pin": Command(
        "pin [HASH…] [--remove]", "list host builds; trust one by your own review", network.pin
    ),
    "wallet": Command(
        "wallet", "show address, balance and allowance; never the key", network.wallet
    ),
    "login": Command(
        "login [--no-browser]", "sign in at a relay, for calls without a wallet", login.login
    ),
    "logout": Command("logout", "delete the sign-in from this machine", login.logout),
    "whoami": Command("whoami", "show who is signed in, at which relay, until when", login.whoami),
    "simnet": Command(
        "simnet [status|up|down|cheat HOST MODE]", "control the simulated network", network.simnet
    ),
    "dashboard": Command("dashboard", "watch hosts, spending and receipts, live", ledger.dashboard),
    "help": Command("help", "show this", _help),
}


def help_text() -> str:
    """The help of ``%%opg`` and of every command."""
    width = max(len(c.usage) for c in COMMANDS.values()) + 2
    lines = [f"  %opg {c.usage:<{width}} {c.help}" for c in COMMANDS.values()]
    return "\n".join([magic_line.help_text().rpartition("\n\n")[0], "", "Commands", "", *lines])
