"""What chains and other hosts show: registry, channel, payment, settlement, agreement."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from corpus.build import (
    ANNA,
    ASKING,
    BORIS,
    ELSEWHERE,
    MEANING,
    PINNING,
    READING,
    WORD,
    Case,
    F,
    P,
    U,
    V,
    case,
)
from support import chains
from support.signing import (
    SENT,
    SIGNED,
    evidence,
    host,
    registry,
    signer,
    stream,
)

from opg_magic.models import (
    ChannelEvidence,
    Charge,
    Evidence,
    Trust,
    VerdictStatus,
)
from opg_magic.verify import AUDIT


def hosts() -> Iterator[Case]:
    entry = host(ANNA)
    yield case(
        "attack_04 not in the registry", F, evidence(registry=registry(None)), fails="registry"
    )
    gone = registry(None, inactive_reason="heartbeat too old")
    yield case(
        "attack_04 not in the registry, with a reason", F, evidence(registry=gone), fails="registry"
    )
    yield case(
        "attack_04 another host's entry",
        F,
        evidence(registry=registry(host(BORIS))),
        fails="registry",
    )
    changes: dict[str, dict[str, Any]] = {
        "disabled": {"active": False, "inactive_reason": "disabled"},
        "inactive": {"active": False},
        "revoked": {"active": False, "pcr_approved": False, "inactive_reason": "PCR revoked"},
        "revoked alone": {"pcr_approved": False},
        "of a disabled entry": {"entry": replace(entry, enabled=False)},
    }
    for name, change in changes.items():
        found = registry(change.pop("entry", entry), **change)
        yield case(f"attack_05 {name}", F, evidence(registry=found), fails="registry")
        yield case(
            f"attack_05 {name}, recorded", F, evidence(registry=found), READING, fails="registry"
        )
    since = registry(entry, since="PCR revoked on 2026-05-06")
    yield case("attack_05 revoked later", V, evidence(registry=since))
    other = registry(entry, disagreement="RPC b gives other hosts at block 1234 than RPC a")
    yield case("attack_06 RPCs that disagree", F, evidence(registry=other), fails="registry")
    yield case("approval unknown", V, evidence(registry=registry(entry, pcr_approved=None)))
    yield case(
        "a validator's entry",
        F,
        evidence(registry=registry(replace(entry, tee_type=1))),
        fails="registry",
    )
    misnamed = replace(entry, tee_id="0x" + "00" * 32)
    yield case(
        "an entry that does not fit itself",
        F,
        evidence(registry=registry(misnamed)),
        fails="registry",
    )
    other_key = replace(entry, public_key=BORIS.der)
    borrowed = evidence(host=other_key, registry=registry(other_key))
    yield case("a name beside another key", F, borrowed, fails="signature attestation registry")
    for name, change in {
        "owner": {"owner": ELSEWHERE},
        "payment address": {"payment_address": ELSEWHERE},
    }.items():
        found = evidence(registry=registry(replace(entry, **change)))
        yield case(f"attack_40 an entry of another {name}", F, found, fails="registry")
    upper = replace(entry, tee_id="0x" + entry.tee_id[2:].upper())
    yield case("an entry in upper case", V, evidence(host=upper, registry=registry(upper)))
    moved = replace(entry, tls_certificate=b"another")
    yield case(
        "an entry with another certificate", F, evidence(registry=registry(moved)), fails="registry"
    )
    yield case(
        "another registry",
        F,
        evidence(registry=registry(entry, contract=ELSEWHERE)),
        MEANING,
        fails="registry",
    )
    yield case(
        "another chain",
        F,
        evidence(registry=registry(entry, chain_id=1)),
        MEANING,
        fails="registry",
    )
    for hours in (-1, 1):
        stale = registry(entry, block_time=SENT + timedelta(hours=hours))
        yield case(f"a block {hours} h away", P, evidence(registry=stale))
    wrong = ChannelEvidence("00" * 32, "TLSv1.3")
    yield case("attack_19 another certificate", F, evidence(channel=wrong), fails="channel")
    yield case(
        "attack_19 another certificate, recorded",
        F,
        evidence(channel=wrong),
        PINNING,
        fails="channel",
    )
    mallory = signer("mallory")
    yield case("a stranger's own key and registry", F, evidence(by=mallory), Trust())
    yield case("a stranger's own key, bare", P, evidence(by=mallory, attestation=None), Trust())


def money() -> Iterator[Case]:
    call = evidence()
    paid = chains.payment(settled=chains.settled())
    yield case("paid", V, replace(call, payment=paid))
    batched = replace(call, settlement_mode="batch", settlement=chains.batch(call))
    alone = replace(call, settlement_mode="individual", settlement=chains.individual(call))
    yield case("audit, all of it", V, replace(batched, payment=paid), MEANING, AUDIT)
    yield case(
        "audit of a reader who asks nobody", P, replace(batched, payment=paid), READING, AUDIT
    )
    yield case("audit without payment", P, batched, MEANING, AUDIT)
    yield case("audit of a private call", P, replace(call, payment=paid), MEANING, AUDIT)
    yield case("not mined yet", V, replace(call, payment=chains.payment()))
    late = replace(MEANING, now=SENT + timedelta(days=1))
    yield case(
        "audit, not mined yet", P, replace(batched, payment=chains.payment()), MEANING, AUDIT
    )
    yield case("audit, never mined", P, replace(batched, payment=chains.payment()), late, AUDIT)
    far = chains.payment(authorisation=chains.authorisation(deadline=10**70))
    yield case("a deadline beyond time", V, replace(call, payment=far), late)
    yield case(
        "still open",
        V,
        replace(
            call,
            payment=chains.payment(
                settled=chains.settled(status="open", tx_hash=None, amount=None)
            ),
        ),
    )
    unspent = chains.settled(status="unspent", tx_hash=None, amount=None)
    # A document has no word for a claim.
    for charge in (Charge.NONE, Charge.CHARGED, Charge.UNKNOWN):
        never = replace(call, payment=chains.payment(settled=unspent, charge=charge))
        yield case(f"attack_22 {charge.value}, never taken", V, never)
        batched_never = replace(batched, payment=never.payment)
        yield case(
            f"attack_22 {charge.value}, never taken, audit", P, batched_never, MEANING, AUDIT
        )
    elsewhere = chains.payment(settled=replace(unspent, chain_id=1))
    yield case(
        "attack_23 unspent, on another chain", F, replace(call, payment=elsewhere), fails="payment"
    )
    named = chains.payment(settled=replace(unspent, tx_hash=chains.TX))
    yield case("attack_23 absent", F, replace(call, payment=named), fails="payment")
    yield case("not charged", V, replace(call, payment=chains.payment(charge=Charge.NONE)))
    nothing = evidence(stream(ANNA, signed=False), payment=chains.payment(charge=Charge.UNKNOWN))
    yield case("attack_22 payment unknown", U, nothing)
    after = datetime.fromtimestamp(chains.DEADLINE + 121, UTC)
    changes: dict[str, dict[str, Any]] = {
        "reverted": {"status": "reverted"},
        "token": {"token": ELSEWHERE},
        "payer": {"payer": ELSEWHERE},
        "payee": {"payee": ELSEWHERE},
        "facilitator": {"facilitator": ELSEWHERE},
        "amount": {"amount": chains.authorisation().cap + 1},
        "cap": {"cap": chains.authorisation().cap + 1},
        "nonce": {"nonce": 5},
        "chain": {"chain_id": 1},
        "too late": {"block_time": after},
        "too early": {"block_time": SENT - timedelta(seconds=301)},
        "shares": {"amount": 11, "shared": (("0123456789", 5), ("9876543210", 7)), "remainder": 1},
    }
    for name, change in changes.items():
        wrong = chains.payment(settled=chains.settled(**change))
        yield case(f"attack_23 {name}", F, replace(call, payment=wrong), fails="payment")
        yield case(
            f"attack_23 {name}, recorded", F, replace(call, payment=wrong), PINNING, fails="payment"
        )
    yield from _borrowed(call)
    for name in (
        "token",
        "payer",
        "payee",
        "facilitator",
        "nonce",
        "cap",
        "block_number",
        "block_hash",
        "block_time",
        "tx_hash",
    ):
        lacking = chains.payment(settled=chains.settled(**{name: None}))
        yield case(f"payment without {name}", V, replace(call, payment=lacking))
    shared = chains.settled(
        amount=100, shared=(("0123456789", 40), ("9876543210", 50)), remainder=10
    )
    yield case(
        "attack_23 one session, two calls", V, replace(call, payment=chains.payment(settled=shared))
    )
    dust = chains.settled(amount=100, shared=(("0123456789", 40), ("9876543210", 59)), remainder=1)
    yield case(
        "a remainder that does not divide", V, replace(call, payment=chains.payment(settled=dust))
    )
    free = chains.settled(amount=0, token=None, payer=None, payee=None)
    yield case("a settlement of nothing", V, replace(call, payment=chains.payment(settled=free)))
    yield case(
        "attack_23 two nonces",
        F,
        replace(call, payment=paid),
        fails="payment",
        paid_in=("9876543210",),
    )

    for name, found in {"batch": batched, "individual": alone}.items():
        for who, trust in {"named": MEANING, "asked": ASKING, "recorded": PINNING}.items():
            yield case(f"settled, {name}, {who}", V, found, trust)
        waiting = evidence(settlement_mode=found.settlement_mode)
        yield case(f"attack_24 not yet, {name}", V, waiting)
        yield case(f"attack_24 never, {name}", V, waiting, late)
        unsigned = evidence(stream(ANNA, signed=False), settlement_mode=found.settlement_mode)
        yield case(f"attack_24 unsigned, {name}", U, unsigned)
    good = chains.batch(call)
    batches: dict[str, dict[str, Any]] = {
        "absent": {"committed": False},
        "root": {"root": WORD},
        "proof cut short": {"proof": good.proof[:-1]},
        "proof too long": {"proof": (*good.proof, WORD)},
        "another step": {"proof": (WORD, *good.proof[1:])},
        "a proof of 64": {"proof": (WORD,) * 64},
        "no proof": {"proof": ()},
        "leaf": {"leaf": WORD},
        "a smaller batch": {"batch_size": 4},
        "a batch of none": {"batch_size": 0},
        "relay": {"relay": ELSEWHERE},
        "chain": {"chain_id": 1},
        "sender": {"sender": ELSEWHERE},
        "no sender": {"sender": None},
        "too early": {"block_time": SENT - timedelta(hours=1)},
    }
    for name, change in batches.items():
        wrong = replace(batched, settlement=replace(good, **change))
        yield case(f"attack_24 batch, {name}", F, wrong, MEANING, fails="settlement")
    yield case(
        "a batch of one", V, replace(batched, settlement=chains.batch(call, others=0)), MEANING
    )
    yield case(
        "a batch of two", V, replace(batched, settlement=chains.batch(call, others=1)), MEANING
    )
    theirs = chains.batch(evidence(stream(BORIS), by=BORIS))
    yield case(
        "attack_24 a leaf of another call",
        F,
        replace(batched, settlement=theirs),
        MEANING,
        fails="settlement",
    )
    events: dict[str, dict[str, Any]] = {
        "host": {"tee_id": WORD},
        "request": {"input_hash": WORD},
        "answer": {"output_hash": WORD},
        "time": {"timestamp": 1},
        "signature": {"signature": base64.b64encode(b"x" * 256).decode()},
        "absent": {"committed": False},
        "relay": {"relay": ELSEWHERE},
    }
    for name, change in events.items():
        wrong = replace(alone, settlement=chains.individual(call, **change))
        yield case(f"attack_24 event, {name}", F, wrong, MEANING, fails="settlement")
    yield case("private, but batched all the same", V, replace(call, settlement=good))

    member, agreed = chains.member, chains.agreed
    own, boris, carla = member("anna"), member("boris"), member("carla")
    groups: dict[str, tuple[VerdictStatus, Any]] = {
        "two of two": (V, agreed([own, boris])),
        "three of three": (V, agreed([own, boris, carla], 3)),
        "but for white space": (V, agreed([own, member("boris", " hi\n there ")])),
        "attack_30 one owner twice": (V, agreed([own, member("boris", owner=own.owner)])),
        "attack_30 disagreement": (V, agreed([own, member("boris", "no")])),
        "attack_30 outvoted": (V, agreed([own, member("boris", "no"), member("carla", "no")])),
        "one without answer": (V, agreed([own, member("boris", None)])),
        "one that failed": (V, agreed([own, member("boris", verdict=F)])),
        "not this host's": (F, agreed([boris, carla])),
        "not this answer": (F, agreed([member("anna", "other"), boris])),
        "more answers than asked": (F, agreed([own, boris, carla], asked=2)),
        "a quorum beyond all": (F, agreed([own, boris], 3)),
    }
    for name, (want, agreement) in groups.items():
        yield case(
            f"agreement, {name}",
            want,
            replace(call, agreement=agreement),
            fails="agreement" if want is F else "",
        )
    yield case(
        "attack_40 an owner that the registry contradicts",
        F,
        replace(call, agreement=agreed([own, boris])),
        fails="agreement",
        contradicted="the registry that was asked lists one owner for both",
    )
    text = '{"b": [1, 2.0], "a": "é"}'
    as_json = evidence(stream(ANNA, pieces=(text,)))
    same = agreed([member("anna", text), member("boris", '{"a":"\\u00e9","b":[1.0,2]}')])
    yield case("agreement, as JSON by value", V, replace(as_json, agreement=same))


def _borrowed(call: Evidence) -> Iterator[Case]:
    """Payments of another payee or of another time (attack 40), and what a payment says of the time
    of the call."""
    elsewhere = chains.authorisation(pay_to=ELSEWHERE)
    for name, found in {
        "settled": chains.payment(authorisation=elsewhere, settled=chains.settled(payee=ELSEWHERE)),
        # An operator may be paid elsewhere: nothing was taken yet, so nothing is borrowed, and
        # nothing is vouched for.
        "open": chains.payment(authorisation=elsewhere),
        "not charged": chains.payment(authorisation=elsewhere, charge=Charge.NONE),
        "unspent": chains.payment(
            authorisation=elsewhere,
            settled=chains.settled(status="unspent", tx_hash=None, amount=None),
        ),
    }.items():
        borrowed = replace(call, payment=found)
        want, fails = (F, "payment") if name == "settled" else (V, "")
        yield case(f"attack_40 another payee, {name}", want, borrowed, fails=fails)
        yield case(
            f"attack_40 another payee, {name}, recorded", want, borrowed, PINNING, fails=fails
        )
        knowing = replace(ASKING, payees=frozenset({ELSEWHERE.upper().replace("X", "x")}))
        yield case(f"another payee, {name}, that the reader knows", V, borrowed, knowing)
    taken = chains.payment(authorisation=elsewhere, settled=chains.settled(payee=ELSEWHERE))
    unlisted = replace(call, registry=None, payment=taken)
    yield case("attack_40 another payee, no registry", F, unlisted, PINNING, fails="payment")
    paid = replace(call, payment=chains.payment(settled=chains.settled()))
    for title, asked in (
        ("payment alone", {"payment"}),
        ("both", {"payment", "registry"}),
        ("neither", set()),
    ):
        some = replace(ASKING, asked=frozenset(asked))
        yield case(f"whose payee it is, asked of {title}", P, replace(paid, registry=None), some)
        yield case(
            f"whose payee it is, no host, asked of {title}",
            P,
            replace(paid, registry=None, host=None),
            some,
        )
        listed = P if "registry" not in asked else V
        yield case(f"whose payee it is, listed, asked of {title}", listed, paid, some)
    months = 16 * 30 * 86400
    times: dict[str, tuple[VerdictStatus, dict[str, int]]] = {
        "16 months before": (
            F,
            {"valid_after": SIGNED - months - 600, "deadline": SIGNED - months},
        ),
        "16 months after": (F, {"valid_after": SIGNED + months, "deadline": SIGNED + months + 300}),
        "over by the skew": (V, {"deadline": SIGNED + 1 - 300}),
        "over by more": (F, {"deadline": SIGNED - 300}),
        "begun by the skew": (V, {"valid_after": SIGNED - 1 + 300}),
        "begun later": (F, {"valid_after": SIGNED + 300}),
        "from the beginning": (V, {"valid_after": 0}),
        "for ever": (V, {"deadline": 2**256 - 1}),
    }
    for name, (want, window) in times.items():
        found = chains.payment(authorisation=chains.authorisation(**window))
        fails = "payment" if want is F else ""
        yield case(f"attack_40 a window, {name}", want, replace(call, payment=found), fails=fails)
    paid = replace(call, payment=chains.payment(settled=chains.settled()))
    yield case("a time between two blocks", V, paid)
    yield case(
        "a time between two blocks, one asked",
        V,
        paid,
        replace(PINNING, asked=frozenset({"payment"})),
    )
    behind = replace(paid, registry=registry(host(ANNA), block_time=SENT + timedelta(seconds=2)))
    yield case("a time before the registry's block", V, behind)
