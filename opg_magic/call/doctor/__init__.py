"""``opg doctor``: can a call be made now, and if not, which command mends it.

Each check is a function of a :class:`~opg_magic.call.doctor.patient.Patient` and returns one
finding; a new one is a line in :data:`CHECKS`.  They run at once, each for a limited time.  Nothing
is started, written, signed or paid, and no prompt is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.doctor import connection, machine, means, terms
from opg_magic.call.doctor import patient as patients
from opg_magic.call.doctor.patient import Patient
from opg_magic.models.diagnosis import Diagnosis, Finding, State
from opg_magic.network import profiles

if TYPE_CHECKING:
    from opg_magic.call.kernel import Kernel

Check = Callable[[Patient], Awaitable[Finding]]

#: The checks in the order in which they are shown; the finding bears the name.
CHECKS: dict[str, Check] = {
    "network": connection.network,
    "clock": connection.clock,
    "registry RPCs": connection.registry_rpcs,
    "payment RPCs": connection.payment_rpcs,
    "sign-in": means.sign_in,
    "wallet": means.wallet,
    "allowance": means.allowance,
    "terms": terms.terms,
    "versions": machine.versions,
    "front end": machine.front_end,
    "extension": machine.extension,
    "local model": machine.local_model,
    "ledger": machine.ledger,
}

_NOT_RUNNING = "Known once the simulated network runs."
#: Checks that have nothing to look at until the simulated network runs.
_OF_A_NETWORK = (
    "clock",
    "registry RPCs",
    "payment RPCs",
    "sign-in",
    "wallet",
    "allowance",
    "terms",
)


def examine(kernel: Kernel, *, in_notebook: bool) -> Diagnosis:
    """Run every check on this kernel's network.  Blocks some seconds at most.

    Raises ConfigError if a setting cannot be read."""
    patient = _patient(kernel, in_notebook=in_notebook)
    return Diagnosis(
        network=profiles.title_of(patient.name),
        route=patient.route,
        simulated=patient.simulated,
        findings=kernel.run(_all(patient)),
    )


def _patient(kernel: Kernel, *, in_notebook: bool) -> Patient:
    from opg_magic.network import simnet_client
    from opg_magic.wallet.keys import is_named, open_wallet

    settings = kernel.settings
    name = settings.get("network")
    simulated = name == profiles.SIM
    wanted = settings.get("route")
    source = settings.get("wallet")
    has_wallet = simulated or is_named(source)
    state = simnet_client.read_state() if simulated else None
    return Patient(
        settings=settings,
        name=name,
        network=None
        if simulated and state is None
        else profiles.resolve(name, settings, state=state),
        # Who has neither wallet nor sign-in is told how to sign in.
        route=wanted if wanted != "auto" else "direct" if has_wallet else "private",
        in_notebook=in_notebook,
        kernel_id=kernel.kernel_id,
        open_wallet=lambda network: open_wallet(
            network,
            source="auto" if simulated else source,
            simulated_key=simnet_client.wallet_key(state) if state is not None else None,
        ),
    )


async def _all(patient: Patient) -> tuple[Finding, ...]:
    try:
        return tuple(
            await asyncio.gather(*(_one(name, check, patient) for name, check in CHECKS.items()))
        )
    finally:
        await patient.aclose()


async def _one(name: str, check: Check, patient: Patient) -> Finding:
    """One check, for as long as it may take; what it cannot find out is unknown."""
    if patient.network is None and name in _OF_A_NETWORK:
        return Finding(name, State.IDLE, _NOT_RUNNING)
    try:
        async with asyncio.timeout(patients.PATIENCE):
            return await check(patient)
    except TimeoutError:
        return Finding(name, State.UNKNOWN, f"No answer within {patients.PATIENCE:g} s.")
    except errors.NetworkUnavailable:
        # Which RPC it is, and why, stands in the lines of the RPCs.
        return Finding(name, State.UNKNOWN, "No RPC that was asked gives an answer.")
    except errors.OpgError as problem:
        return Finding(name, State.UNKNOWN, problem.message)
    except Exception as problem:  # its text may hold anything
        return Finding(name, State.UNKNOWN, f"The check itself failed ({type(problem).__name__}).")
