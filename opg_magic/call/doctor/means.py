"""What a call is paid with: a sign-in at a relay, or a wallet and its allowance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.doctor import connection
from opg_magic.call.doctor.patient import Patient
from opg_magic.models import Money, format_units
from opg_magic.models.diagnosis import Finding, State
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from opg_magic.settings.sign_in import SignIn

#: A sign-in that ends within this many seconds is worth renewing before work begins.
_SOON = 1800
#: Sets a password without a trace in the shell's history; what is started from there has it.
_PASSWORD = "read -rs OPG_KEYSTORE_PASSWORD; export OPG_KEYSTORE_PASSWORD"  # noqa: S105


async def sign_in(patient: Patient) -> Finding:
    """Whether somebody is signed in at a relay, which, and until when."""
    if patient.simulated:
        return Finding("sign-in", State.IDLE, "The simulated relay needs none.")
    mend = f"opg login{patient.flag}"
    needed = patient.route == "private"
    try:
        found = await patient.sign_in()
    except errors.WalletError as problem:
        state = State.BLOCKS if needed else State.MEND
        return Finding("sign-in", state, _first_sentence(problem.message), mend)
    if found is None:
        if not needed:
            return Finding("sign-in", State.IDLE, "Nobody is signed in; your wallet pays.")
        return Finding("sign-in", State.BLOCKS, "Nobody is signed in at a relay.", mend)
    who = f"{inert(found.account or 'Somebody')[:80]} at {_relay(found)}"
    if found.is_over():
        state = State.BLOCKS if needed else State.MEND
        return Finding(
            "sign-in", state, f"{who}: expired at {found.expires_at:%Y-%m-%d %H:%M} UTC.", mend
        )
    if (wrong := _other_relay(patient, found)) is not None:
        return Finding("sign-in", State.BLOCKS if needed else State.MEND, f"{who}. {wrong}", mend)
    if (why := await _unreached(patient, found)) is not None:
        return Finding("sign-in", State.BLOCKS if needed else State.MEND, f"{who}; {why}.")
    if found.expires_at is None:
        return Finding("sign-in", State.GOOD, f"{who}; its expiry is not known.")
    left = (found.expires_at - datetime.now(UTC)).total_seconds()
    until = f"{who}, until {found.expires_at:%Y-%m-%d %H:%M} UTC."
    if left < _SOON:
        return Finding("sign-in", State.MEND, f"{until} That is in {left / 60:.0f} min.", mend)
    return Finding("sign-in", State.GOOD, until)


def _relay(found: SignIn) -> str:
    from urllib.parse import urlsplit

    return urlsplit(found.relay).netloc or "a relay"


def _other_relay(patient: Patient, found: SignIn) -> str | None:
    """Why this sign-in cannot be used with the user's own settings; None if it can."""
    from opg_magic.network.ohttp_relay import relay_base

    assert patient.network is not None
    wanted = patient.network.private_relay
    try:
        if wanted is None or relay_base(wanted) == relay_base(found.relay):
            return None
    except errors.ConfigError as problem:
        return problem.message
    return "Your settings name another relay (private_relay)."


async def _unreached(patient: Patient, found: SignIn) -> str | None:
    """Why the relay takes no connection; None if it does, or a proxy stands before it."""
    from opg_magic.models.proxy import proxy_for

    assert patient.network is not None
    if proxy_for(found.relay, patient.network.proxy) is not None:
        return None
    return await connection.connects(*connection.place_of(found.relay))


async def wallet(patient: Patient) -> Finding:
    """Whether there is a wallet, whether it opens, and what it holds."""
    network = patient.network
    assert network is not None
    needed = patient.route == "direct"
    if not patient.has_wallet:
        if needed:
            return Finding("wallet", State.BLOCKS, "There is none.", "opg wallet new")
        return Finding("wallet", State.IDLE, "There is none; the relay pays.")
    try:
        address, locked = await _address(patient)
    except errors.WalletError as problem:
        return Finding(
            "wallet",
            State.BLOCKS if needed else State.MEND,
            f"{problem.message[0].upper()}{problem.message[1:]}.",
            _mend_of(patient, problem),
        )
    funds, held = await patient.funds(address)
    gas = await patient.chain().gas_balance(address)
    ether = format_units(gas // 10**12, 6)  # six decimals tell what gas there is
    has = f"{address} holds {Money(funds.balance, network.token)} and {ether} ETH"
    more = f"; open payments hold {Money(held, network.token)}" if held else ""
    if locked and patient.in_notebook:
        return Finding(
            "wallet",
            State.BLOCKS if needed else State.MEND,
            f"{has}{more}. It is locked, and a notebook never asks for its password.",
            _PASSWORD,
        )
    asks = " It is locked: your terminal is asked for its password." if locked else ""
    cap = patient.usual_cap()
    if funds.balance < held + cap.amount:
        short = Money(held + cap.amount - funds.balance, network.token)
        return Finding(
            "wallet",
            State.BLOCKS if needed else State.MEND,
            f"{has}{more}. A usual call needs {cap}: send {short} or more to that address.{asks}",
        )
    if gas == 0:
        return Finding(
            "wallet", State.GOOD, f"{has}{more}. Calls need no ETH; an approval does.{asks}"
        )
    return Finding("wallet", State.GOOD, f"{has}{more}.{asks}")


def _mend_of(patient: Patient, problem: errors.WalletError) -> str:
    """What makes a wallet that cannot be opened usable."""
    from opg_magic.settings import environment, paths
    from opg_magic.wallet.keys import KEY_VARIABLE

    source = patient.settings.get("wallet")
    if problem.hint and problem.hint.startswith("chmod "):
        return problem.hint
    if source == "keyring":
        return "opg wallet new --keyring"
    if source in ("auto", "environment") and environment.secret(KEY_VARIABLE):
        return f"unset {KEY_VARIABLE}"
    return "opg wallet new" if paths.existing("keystore.json") is None else _PASSWORD


async def _address(patient: Patient) -> tuple[str, bool]:
    """The wallet's address, and whether its password is still to be asked for.

    Nobody is asked: a keystore names its address in plain text.  Raises WalletError."""
    from opg_magic.settings import environment
    from opg_magic.wallet.keys import KEY_VARIABLE
    from opg_magic.wallet.keystore import keystore_address

    source = patient.settings.get("wallet")
    in_file = source == "keystore" or (source == "auto" and not environment.secret(KEY_VARIABLE))
    if patient.simulated or not in_file or environment.password() is not None:
        return (await patient.wallet()).address, False
    address = keystore_address()
    if address is None:
        raise errors.WalletError("there is no keystore file")
    return address, True


async def allowance(patient: Patient) -> Finding:
    """What Permit2 may still take from the wallet."""
    from opg_magic.wallet.funds import allowance_words, renewal

    network = patient.network
    assert network is not None
    needed = patient.route == "direct"
    if not patient.has_wallet:
        return Finding(
            "allowance", State.UNKNOWN if needed else State.IDLE, "There is no wallet to ask for."
        )
    try:
        address, _ = await _address(patient)
    except errors.WalletError:
        return Finding("allowance", State.UNKNOWN, "The wallet cannot be opened.")
    funds, held = await patient.funds(address)
    cap = patient.usual_cap()
    says = f"Permit2 may take {allowance_words(funds.allowance, network)}"
    says += f"; open payments hold {Money(held, network.token)}." if held else "."
    if funds.allowance < held + cap.amount:
        return Finding(
            "allowance",
            State.BLOCKS if needed else State.MEND,
            f"{says} A usual call needs {cap}.",
            renewal(network, held + cap.amount - funds.allowance),
        )
    if funds.warning(cap, held, network) is not None:
        return Finding(
            "allowance", State.MEND, f"{says} It is nearly used up.", renewal(network, cap.amount)
        )
    return Finding("allowance", State.GOOD, says)


def _first_sentence(text: str) -> str:
    """Without what a call would add ("Nothing was sent.")."""
    return text.removesuffix(" Nothing was sent.")
