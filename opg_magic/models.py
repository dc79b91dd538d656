"""What travels through one call, from the prompt to the verdict.

Frozen dataclasses, no I/O, no heavy import.  Money is an integer of base units with its token; times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from opg_magic import arguments
from opg_magic.networks import Token

if TYPE_CHECKING:
    from opg_magic.receipts.receipt import Receipt

Kind = Literal["chat", "completion"]

#: How a call's hashes go on a chain, if they do (protocol section 5).  What a call may ask for.
SettleChoice = Literal["private", "batch"]
#: What a receipt may state: ``individual``, which published prompt and answer in plain text, cannot be asked for now.
SettlementMode = Literal["private", "batch", "individual"]

#: SHA-256 of the AWS Nitro Enclaves root certificate (protocol section 4).
AWS_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

#: Hottest sampling that hosts take, and the longest answer that a request may ask for (exact in every JSON reader).
MAX_TEMPERATURE = 2.0
MAX_TOKENS = 2**31 - 1

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"


# --------------------------------------------------------------------------------------------------------------- money


@dataclass(frozen=True, slots=True, repr=False)
class Money:
    """``amount`` base units of ``token``.  Two sums of different tokens neither add nor compare."""

    amount: int
    token: Token

    def _same(self, other: Money) -> None:
        if (self.token.address, self.token.chain_id) != (other.token.address, other.token.chain_id):
            raise TypeError(f"{self.token.symbol} and {other.token.symbol} do not mix")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.token)

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    @property
    def decimal(self) -> Decimal:
        """The sum in whole tokens, exact."""
        return Decimal(self.amount).scaleb(-self.token.decimals)

    def __repr__(self) -> str:
        return f"<Money {self}>"

    def __str__(self) -> str:
        return f"{format_units(self.amount, self.token.decimals)} {self.token.symbol}"


def format_units(amount: int, decimals: int) -> str:
    """Base units as a plain decimal number without exponent or trailing zeros, exact."""
    sign, digits = ("-", str(-amount)) if amount < 0 else ("", str(amount))
    digits = digits.rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def parse_units(text: str, decimals: int) -> int:
    """A plain non-negative decimal number of tokens to base units; ValueError if it is not one or is too fine."""
    value = text.strip()
    whole, _, fraction = value.partition(".")
    if not (whole + fraction).isascii() or not (whole + fraction).isdigit() or len(fraction) > decimals:
        raise ValueError(f"not an amount with at most {decimals} decimals: {text!r}")
    return int((whole or "0") + fraction.ljust(decimals, "0"))


class Charge(StrEnum):
    """What happened to the money of one call, as far as this machine can tell.

    ``CLAIMED``: the host answered, so it may collect what it counted.  ``CHARGED``: the payment chain shows it.  A
    receipt's document knows no claim: there ``charged`` is the host's word as well.
    """

    NONE = "not charged"
    CLAIMED = "claimed"
    CHARGED = "charged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens, and the day the figure is from."""

    input_usd: Decimal
    output_usd: Decimal
    as_of: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Cost:
    """What one call cost: ``amount`` None means that the price is unknown (never zero).

    It is usage x price / token price: the host's figure, not signed; ``cap`` is the most that can be charged under the
    authorisation that covers the call, ``settled`` what the payment chain shows of it.
    """

    amount: Money | None
    cap: Money | None
    usd: Decimal | None = None
    price: ModelPrice | None = None
    token_usd: Decimal | None = None
    charge: Charge = Charge.NONE
    #: The call's share of what the payment chain shows, None while that is not known.
    settled: Money | None = None

    def __repr__(self) -> str:
        return f"<Cost {self}>"

    def __str__(self) -> str:
        if self.charge is Charge.NONE:
            return "not charged"
        if self.settled is not None:
            return f"{significant(self.settled.decimal)} {self.settled.token.symbol} settled"
        if self.charge is Charge.UNKNOWN:
            text = "charge unknown"
        elif self.amount is None:
            text = "price unknown" if self.price is None else "cost unknown"
        else:
            text = f"{significant(self.amount.decimal)} {self.amount.token.symbol} claimed"
            text += f" ≈ ${significant(self.usd)}" if self.usd is not None else ""
        cap = f" (at most {self.cap})" if self.cap is not None else ""
        return text + cap


#: What is less than this is shown as less than this.
_TINY = Decimal("0.000000001")


def significant(amount: Decimal) -> str:
    """An amount in plain decimals to two significant digits; ``0`` for nothing, ``<0.000000001`` below that."""
    if 0 < amount < _TINY:
        return f"<{_TINY:f}"
    text = f"{Decimal(f'{amount:.2g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# ------------------------------------------------------------------------------------------------------------- prompts


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the user asks, before any host is known.

    ``text`` is the rendered prompt, sent raw.  ``template`` and ``variables`` are set where ``--vars`` filled names in.
    ``source`` is the cell's whole source (only its hash is kept).  ``extra`` carries further keys of a chat body that a
    caller of the Python interface gives (``tools``, ``response_format``).  ``messages`` overrides system and text.

    However it is made, it holds canonical values (a NumPy scalar is the number that it is), or
    :class:`opg_magic.errors.ArgumentError` is raised.
    """

    text: str
    model: str
    system: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    kind: Kind = "chat"
    settle: SettleChoice = "private"
    template: str | None = None
    variables: tuple[str, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        for name, value in _canonical(self).items():
            object.__setattr__(self, name, value)


def _canonical(prompt: Prompt) -> dict[str, Any]:
    """A prompt's fields as they may be sent and kept.  What hosts take besides, the request's body checks."""
    given, optional = prompt, arguments.optional_text
    heat, max_tokens, messages = given.temperature, given.max_tokens, given.messages
    return {
        "text": arguments.text("prompt", given.text, empty=True),
        "model": arguments.text("model", given.model, empty=True),
        "system": optional("system", given.system, empty=True),
        "messages": None if messages is None else arguments.objects("messages", messages),
        "temperature": None if heat is None else arguments.number("temperature", heat, 0, MAX_TEMPERATURE),
        "max_tokens": None if max_tokens is None else arguments.whole("max_tokens", max_tokens, 1, MAX_TOKENS),
        "stop": arguments.texts("stop", given.stop),
        "extra": arguments.mapping("extra", given.extra),
        "stream": arguments.flag("stream", given.stream),
        "kind": arguments.choice("kind", given.kind, arguments.KINDS),
        # Exactly one of two words goes into the header: a host takes an unknown one for "batch", older ones publish the
        # prompt for "individual" in any case of its letters.
        "settle": arguments.choice("settle", given.settle, arguments.SETTLEMENTS),
        "template": optional("template", given.template, empty=True),
        "variables": arguments.texts("variables", given.variables),
        "source": optional("source", given.source, empty=True),
    }


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """One entry of a 402's ``accepts`` that this network allows, with the resource it is for (protocol section 6)."""

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    max_timeout_seconds: int
    facilitator: str
    accepted: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A Permit2 witness transfer authorisation without its signature: who may take how much, until when."""

    chain_id: int
    payer: str
    token: str
    cap: int
    spender: str
    nonce: int
    deadline: int
    pay_to: str
    facilitator: str
    valid_after: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would cost, and who would answer it.  Nothing has been paid or signed."""

    host: Host
    model: str
    model_sent: str
    cap: Money
    price: ModelPrice | None
    estimate: Money | None
    token_usd: Decimal | None
    prompt_tokens: int
    max_output_tokens: int | None
    reuses_session: bool
    notes: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------------------------------- hosts


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of the on-chain registry (protocol section 2).  Bytes are raw DER; hashes are 0x-hex."""

    tee_id: str
    owner: str
    payment_address: str
    endpoint: str
    public_key: bytes
    tls_certificate: bytes
    pcr_hash: str
    tee_type: int
    enabled: bool
    registered_at: int
    last_heartbeat_at: int
    ohttp_config: Mapping[str, Any] | None = None

    @property
    def short_id(self) -> str:
        """First and last four hex digits, for people."""
        return f"{self.tee_id[2:6]}…{self.tee_id[-4:]}"


# ------------------------------------------------------------------------------------------------------------ evidence


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a response as read: ``code`` for programs, ``message`` for people.

    Codes: ``truncated``, ``framing``, ``ambiguous-json``, ``unsigned``, ``host-failure``, ``format``, ``too-large``,
    ``http-status``, ``timeout``, ``interrupted``.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """``body`` is the exact JSON text sent; ``canonical`` the exact string that was hashed (protocol section 3).

    ``canonicaliser`` names the version of the rules that produced it.
    """

    kind: Kind
    body: str
    canonical: str
    canonicaliser: str


@dataclass(frozen=True, slots=True)
class ResponseEvidence:
    """What came back, read strictly.

    ``text`` is the content as shown (None if there is none), ``tool_calls`` the exact string that is hashed for a tool
    call answer (None for a text answer), ``frame`` the exact JSON text that carried the signature: the last chunk of a
    stream, or the whole body otherwise.  ``raw_sha256`` is over all bytes received.
    """

    stream: bool
    text: str | None
    tool_calls: str | None
    finish_reason: str | None
    frame: str | None
    raw_sha256: str
    raw_size: int
    model: str | None = None
    usage: Mapping[str, int] | None = None
    problem: Problem | None = None
    #: Text that came beside tool calls: never signed.
    unsigned_text: str | None = None


@dataclass(frozen=True, slots=True)
class AttestationEvidence:
    """An enclave's attestation document, raw COSE bytes, and the nonce that we asked it to sign (20 bytes)."""

    document: bytes
    nonce: bytes | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class RegistryEvidence:
    """A host's registry entry as read at one block, and which RPCs (host labels, never URLs) agreed on it."""

    chain_id: int
    contract: str
    block_number: int
    block_hash: str
    block_time: datetime
    entry: Host | None
    active: bool
    pcr_approved: bool | None
    pcr_version: str | None
    rpcs: tuple[str, ...]
    #: Why the entry is not active, where that is known ("disabled", "PCR revoked", "heartbeat too old", "not listed").
    inactive_reason: str | None = None
    #: What the RPCs that were asked said differently about this one block.
    disagreement: str | None = None
    #: What became of the entry after this block, where that was asked ("PCR revoked on 2026-05-06").
    since: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelEvidence:
    """The certificate that the TLS peer presented: SHA-256 of its DER bytes, lower-case hex."""

    certificate_sha256: str
    tls_version: str | None = None


@dataclass(frozen=True, slots=True)
class SettlementTx:
    """What the payment chain shows of an authorisation, found by its Permit2 nonce (protocol section 6).

    ``status``: ``open`` (not spent, and can still be), ``spent``, ``unspent`` (never spent, and past its deadline),
    ``reverted`` (the transaction that the receipt names failed).  The figures are decoded from the transaction's
    calldata and the token's ``Transfer`` log: None where that says nothing.  ``shared`` gives receipt ids and shares in
    base units, where several calls of one session were charged together; ``remainder`` is what no call accounts for.
    """

    status: str
    chain_id: int
    tx_hash: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    block_time: datetime | None = None
    token: str | None = None
    payer: str | None = None
    payee: str | None = None
    facilitator: str | None = None
    amount: int | None = None
    cap: int | None = None
    nonce: int | None = None
    #: The newest block that was looked at.
    seen_at_block: int | None = None
    #: Host labels of the RPCs that agreed.
    rpcs: tuple[str, ...] = ()
    shared: tuple[tuple[str, int], ...] = ()
    remainder: int = 0


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """A batch of the settlement relay, and the path from a call's leaf to its root (protocol section 5).

    ``root``, ``leaf`` and ``proof`` are 0x-hex of 32 bytes each.  ``relay`` is the contract whose event it is,
    ``sender`` who sent the transaction; the tree itself is not kept.
    """

    root: str
    leaf: str
    proof: tuple[str, ...]
    tx_hash: str
    block_number: int
    block_hash: str
    block_time: datetime
    relay: str
    chain_id: int
    blob_id: str
    batch_size: int
    sender: str | None
    rpcs: tuple[str, ...] = ()
    #: False: the chain that was asked shows no such event of the relay in that transaction.
    committed: bool = True


@dataclass(frozen=True, slots=True)
class IndividualEvidence:
    """The relay's event for one call (protocol section 5).  Hashes are 0x-hex, ``signature`` is base64."""

    tx_hash: str
    block_number: int
    block_hash: str
    block_time: datetime
    relay: str
    chain_id: int
    tee_id: str
    input_hash: str
    output_hash: str
    timestamp: int
    signature: str
    blob_id: str
    sender: str | None
    rpcs: tuple[str, ...] = ()
    #: False: the chain that was asked shows no such event of the relay in that transaction.
    committed: bool = True


@dataclass(frozen=True, slots=True)
class AgreementMember:
    """One answer of several to one prompt.  ``digest`` is that of its receipt; the others are SHA-256, lower-case hex.

    ``text_sha256`` is over the exact UTF-8 text, ``normal_sha256`` over the normalised one, ``json_sha256`` over the
    RFC 8785 form where the text is JSON (:mod:`opg_magic.verify.agreement`).  None: that host gave no answer.
    """

    receipt_id: str
    digest: str
    tee_id: str
    owner: str
    text_sha256: str | None
    normal_sha256: str | None
    json_sha256: str | None
    verdict: str


@dataclass(frozen=True, slots=True)
class AgreementEvidence:
    """Several hosts' answers to one prompt: ``asked`` hosts, of which ``quorum`` must give the same answer.

    ``group`` is the id that the calls have in common.
    """

    asked: int
    quorum: int
    group: str
    answers: tuple[AgreementMember, ...]


@dataclass(frozen=True, slots=True)
class PaymentEvidence:
    """The authorisation that covers the call (no signature), and what is known of its settlement."""

    network: str
    authorisation: Authorisation
    token: Token
    first_call: bool
    charge: Charge
    estimate: Money | None = None
    settled: SettlementTx | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is judged: data only, which a receipt keeps, so that anyone can judge again."""

    request: RequestEvidence
    response: ResponseEvidence
    sent_at: datetime
    received_at: datetime
    signing_key: bytes | None
    host: Host | None = None
    attestation: AttestationEvidence | None = None
    registry: RegistryEvidence | None = None
    channel: ChannelEvidence | None = None
    payment: PaymentEvidence | None = None
    #: Ids of other receipts that bear this very signature (looked up by the caller).
    signature_seen_in: tuple[str, ...] = ()
    #: The receipt (or the live network profile) says that this was the simulated network.
    declared_simulated: bool = False
    #: How the call was sent, and what the chain shows of it; None while that is not known.
    settlement_mode: SettlementMode = "private"
    settlement: BatchEvidence | IndividualEvidence | None = None
    agreement: AgreementEvidence | None = None
    #: Ids of other receipts that claim the same payment transaction under another nonce (looked up by the caller).
    payment_seen_in: tuple[str, ...] = ()
    #: What the registry that was asked says otherwise of the hosts that were compared (asked by the caller).
    agreement_contradicted: str | None = None


# -------------------------------------------------------------------------------------------------------------- claims


class Status(StrEnum):
    """How one claim came out."""

    PASSED = "passed"
    FAILED = "failed"
    PENDING = "pending"
    MISSING = "missing"
    NOT_APPLICABLE = "not_applicable"


class Basis(StrEnum):
    """What the reader relies on for one claim (verification, "Claims")."""

    PROVEN = "proven"
    ASKED = "asked"
    RECORDED = "recorded"


ClaimName = Literal[
    "request",
    "response",
    "signature",
    "freshness",
    "attestation",
    "registry",
    "channel",
    "payment",
    "settlement",
    "agreement",
]

CLAIM_NAMES: tuple[ClaimName, ...] = (
    "request",
    "response",
    "signature",
    "freshness",
    "attestation",
    "registry",
    "channel",
    "payment",
    "settlement",
    "agreement",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim: what is said (one plain sentence), how it came out, on what basis, and why where it did not pass.

    ``code`` is a short word for programs (``truncated``, ``wrong-key`` ...); ``expires`` ends a pending claim.
    """

    name: ClaimName
    status: Status
    basis: Basis | None
    sentence: str
    reason: str | None = None
    code: str | None = None
    expires: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED


class VerdictStatus(StrEnum):
    """The verdict's word, best first.  Simulated is a flag beside it."""

    VERIFIED = "VERIFIED"
    PARTIAL = "PARTIAL"
    UNVERIFIED = "UNVERIFIED"
    FAILED = "FAILED"


class SimulatedStatus(StrEnum):
    """What VERIFIED is called on a simulated network: no plain comparison with ``"VERIFIED"`` holds there."""

    SIMULATED = "SIMULATED"


@dataclass(frozen=True)
class Verdict:
    """The first rule that applied, over all claims; ``simulated`` is shown wherever the verdict is.

    ``status`` is never VERIFIED where ``simulated`` is set, but SIMULATED; the other words are the same on both.
    :attr:`outcome` is which rule applied, whatever the network: what receipts store beside the flag.
    """

    status: VerdictStatus | SimulatedStatus
    simulated: bool
    claims: Mapping[str, Claim]
    policy: str
    #: Names of the claims that decided it, and why, in words.
    because: tuple[str, ...] = ()
    #: An answer must not be handed out: failed, or a required claim is missing under strict or audit.
    withheld: bool = False

    def __post_init__(self) -> None:
        if self.simulated and self.status is VerdictStatus.VERIFIED:
            object.__setattr__(self, "status", SimulatedStatus.SIMULATED)

    @property
    def outcome(self) -> VerdictStatus:
        """Which rule applied, simulated or not."""
        return VerdictStatus.VERIFIED if isinstance(self.status, SimulatedStatus) else self.status

    @property
    def failed_claims(self) -> tuple[Claim, ...]:
        return tuple(c for c in self.claims.values() if c.status is Status.FAILED)

    @property
    def why(self) -> str:
        """What decided it in one line, a reason that several claims share said once; empty where nothing did."""
        names: dict[str, list[str]] = {}
        for told in self.because:
            name, _, reason = told.partition(": ")
            names.setdefault(reason, []).append(name)
        return "; ".join(f"{', '.join(sharing)}: {reason}" for reason, sharing in names.items())

    @cached_property
    def label(self) -> str:
        """What may be shown to a person: never a bare VERIFIED for a simulated network."""
        if not self.simulated or isinstance(self.status, SimulatedStatus):
            return self.status.value
        return f"SIMULATED · {self.status.value}"


@dataclass(frozen=True, slots=True)
class Trust:
    """What one verifier relies on beyond the receipt, and how it stands to it.

    ``reader`` is True for someone who opens another's receipt; the kernel that made the call sets it False.  ``asked``
    names the claims whose evidence this verifier fetched itself just now.
    """

    aws_root_sha256: str = AWS_ROOT_SHA256
    simulated_roots: frozenset[str] = frozenset()
    pinned_pcrs: frozenset[str] = frozenset()
    skew_seconds: float = 300.0
    reader: bool = True
    asked: frozenset[str] = frozenset()
    #: (chain id, contract) of the registry that this verifier means; None: any, and the claim says so.
    registry: tuple[int, str] | None = None
    #: (chain id, contract) of the settlement relay that this verifier means; None: any, and the claim says so.
    relay: tuple[int, str] | None = None
    #: Who may commit a batch or a call to the relay; empty: anyone, and the claim says so.
    relay_senders: frozenset[str] = frozenset()
    #: Addresses that this verifier knows to be paid for a host besides the one that the registry lists for it.
    payees: frozenset[str] = frozenset()
    #: When this is judged: a pending claim past its expiry is missing.  None: pending claims stay so.
    now: datetime | None = None


# -------------------------------------------------------------------------------------------------------------- answer


class Phase(StrEnum):
    """Where a running call stands."""

    QUOTE = "quote"
    PAY = "pay"
    ANSWER = "answering"
    CHECK = "check"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a running call, for whoever watches: text is everything so far, not checked yet."""

    phase: Phase
    text: str = ""
    tokens: int = 0
    host: Host | None = None
    cap: Money | None = None
    note: str | None = None


@dataclass(frozen=True)
class Answer:
    """A checked answer: ``text`` exactly as signed, its verdict, receipt and cost."""

    text: str
    verdict: Verdict
    receipt: Receipt
    cost: Cost
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    #: What else is to be said of the call, in words: a payee that differs, hosts that were passed over.
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"<Answer {self.verdict.label} {self.receipt.id} {shown!r}>"

    def json(self) -> Any:
        """The text parsed as JSON; ValueError if it is not JSON, or ambiguous (a name twice, NaN)."""
        from opg_magic.protocol import strict_json

        return strict_json.loads(self.text)
