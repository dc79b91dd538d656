"""Reads one settlement transaction: what its calldata asks for, and what its logs say was paid.

Source: the ABI of the ``upto`` proxy's ``settle``, and ERC-20's ``Transfer``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opg_magic.models import Authorisation
from opg_magic.network.abi import event_topic, function

#: Places in one transaction's calldata at which a call of ``settle`` is looked for.
MAX_BUNDLED = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """A decoded call of the proxy's ``settle``: what was signed, and the ``amount`` (base units)
    that was asked for of it.

    Addresses are lower-case hex; ``deadline`` and ``valid_after`` are Unix seconds."""

    token: str
    cap: int
    nonce: int
    deadline: int
    amount: int
    payer: str
    pay_to: str
    facilitator: str
    valid_after: int

    def spends(self, auth: Authorisation) -> bool:
        """Whether it uses the same payer's same nonce."""
        return self.nonce == auth.nonce and self.payer == auth.payer.lower()

    def settles(self, auth: Authorisation) -> bool:
        """Whether it settles exactly what was authorised."""
        return (
            self.spends(auth)
            and self.token == auth.token.lower()
            and self.pay_to == auth.pay_to.lower()
            and self.facilitator == auth.facilitator.lower()
            and (self.cap, self.deadline, self.valid_after)
            == (auth.cap, auth.deadline, auth.valid_after)
        )


def settle_calls(calldata: bytes) -> list[Terms]:
    """Return the calls of the proxy's ``settle`` in a transaction's calldata, whether made directly
    or inside another call; :data:`MAX_BUNDLED` places at most are tried."""
    settle = function("upto_proxy", "settle")
    found: list[Terms] = []
    start = calldata.find(settle.selector)
    for _ in range(MAX_BUNDLED):
        if start < 0:
            break
        try:
            permit, amount, owner, witness, _ = settle.decode_input(calldata[start:])
        except ValueError:
            pass
        else:
            (token, cap), nonce, deadline = permit
            to, facilitator, valid_after = witness
            addresses = (token.lower(), owner.lower(), to.lower(), facilitator.lower())
            found.append(
                Terms(
                    token=addresses[0],
                    cap=cap,
                    nonce=nonce,
                    deadline=deadline,
                    amount=amount,
                    payer=addresses[1],
                    pay_to=addresses[2],
                    facilitator=addresses[3],
                    valid_after=valid_after,
                )
            )
        start = calldata.find(settle.selector, start + 1)
    return found


def moved(
    logs: object, auth: Authorisation, asked: int
) -> tuple[str | None, str | None, int | None]:
    """Return token, payee and amount of the payer's transfer in a transaction receipt's logs.

    Of several, the one that fits the authorisation and the amount ``asked`` comes first.  The log
    is what happened; the calldata only what was asked for.
    """
    from opg_magic.protocol.addresses import checksum_address

    found: list[tuple[str, str, int]] = []
    topic, payer = event_topic("erc20", "Transfer"), auth.payer[2:].lower().rjust(64, "0")
    for log in logs if isinstance(logs, list) else []:
        if not isinstance(log, Mapping):
            continue
        topics, data, address = log.get("topics"), log.get("data"), log.get("address")
        if (
            not isinstance(topics, list)
            or len(topics) != 3
            or not all(isinstance(t, str) for t in topics)
        ):
            continue
        if topics[0].lower() != topic or topics[1].lower() != "0x" + payer:
            continue
        try:
            value = int(str(data), 16) if len(str(data)) == 66 else None
            payee, token = checksum_address("0x" + topics[2][-40:]), checksum_address(str(address))
        except ValueError:
            continue
        if value is not None:
            found.append((token, payee, value))
    found.sort(
        key=lambda t: (
            t[0].lower() != auth.token.lower(),
            t[1].lower() != auth.pay_to.lower(),
            t[2] != asked,
        )
    )
    return found[0] if found else (None, None, 0 if asked == 0 else None)
