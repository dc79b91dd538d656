"""What is kept of a call so that anyone can judge it: bytes, documents, what chains showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from opg_magic.models.hosts import Host
from opg_magic.models.money import Charge, Money
from opg_magic.models.networks import Token
from opg_magic.models.payments import Authorisation
from opg_magic.models.prompts import Kind, SettlementMode


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a response as read: ``code`` for programs, ``message`` for people.

    Codes: ``truncated``, ``framing``, ``ambiguous-json``, ``unsigned``, ``host-failure``,
    ``format``, ``too-large``, ``http-status``, ``timeout``, ``interrupted``."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """``body`` is the exact JSON text sent; ``canonical`` the exact string that was hashed.

    ``canonicaliser`` names the version of the rules that produced it.
    """

    kind: Kind
    body: str
    canonical: str
    canonicaliser: str


@dataclass(frozen=True, slots=True)
class ResponseEvidence:
    """What came back, read strictly.

    ``text`` is the content as shown (None if there is none), ``tool_calls`` the exact string that
    is hashed for a tool call answer (None for a text answer), ``frame`` the exact JSON text that
    carried the signature: the last chunk of a stream, or the whole body otherwise.  ``raw_sha256``
    is over all bytes received."""

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
    """An enclave's attestation document, raw COSE bytes, and the nonce that we asked it to sign (20
    bytes)."""

    document: bytes
    nonce: bytes | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class RegistryEvidence:
    """A host's registry entry as read at one block, and which RPCs (host labels, never URLs) agreed
    on it."""

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
    #: Why the entry is not active, where that is known ("disabled", "PCR revoked", "heartbeat too
    #: old", "not listed").
    inactive_reason: str | None = None
    #: What the RPCs that were asked said differently about this one block.
    disagreement: str | None = None
    #: What became of the entry after this block, where that was asked ("PCR revoked on
    #: 2026-05-06").
    since: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelEvidence:
    """The certificate that the TLS peer presented: SHA-256 of its DER bytes, lower-case hex."""

    certificate_sha256: str
    tls_version: str | None = None


@dataclass(frozen=True, slots=True)
class SealedEvidence:
    """How a request was sealed that a relay carried.

    ``relay`` is the relay's host label, never a URL; ``header`` the seven bytes that open the
    sealed request (RFC 9458, section 4.3); ``public_key`` the X25519 key that it was sealed to."""

    relay: str
    header: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class SettlementTx:
    """What the payment chain shows of an authorisation, found by its Permit2 nonce.

    ``status``: ``open`` (not spent, and can still be), ``spent``, ``unspent`` (never spent, and
    past its deadline), ``reverted`` (the transaction that the receipt names failed).  The figures
    are decoded from the transaction's calldata and the token's ``Transfer`` log: None where that
    says nothing.  ``shared`` gives receipt ids and shares in base units, where several calls of one
    session were charged together; ``remainder`` is what no call accounts for."""

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
    """A batch of the settlement relay, and the path from a call's leaf to its root.

    ``root``, ``leaf`` and ``proof`` are 0x-hex of 32 bytes each.  ``relay`` is the contract whose
    event it is, ``sender`` who sent the transaction; the tree itself is not kept."""

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
    """The relay's event for one call.  Hashes are 0x-hex, ``signature`` is
    base64."""

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
    """One answer of several to one prompt.  ``digest`` is that of its receipt; the others are
    SHA-256, lower-case hex.

    ``text_sha256`` is over the exact UTF-8 text, ``normal_sha256`` over the normalised one,
    ``json_sha256`` over the RFC 8785 form where the text is JSON
    (:mod:`opg_magic.verify.agreement`).  None: that host gave no answer."""

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
    """Several hosts' answers to one prompt: ``asked`` hosts, of which ``quorum`` must give the same
    answer.

    ``group`` is the id that the calls have in common.
    """

    asked: int
    quorum: int
    group: str
    answers: tuple[AgreementMember, ...]


@dataclass(frozen=True, slots=True)
class WeightsEvidence:
    """One run of open weights over a call's request and its answer.

    Hashes are SHA-256, lower-case hex: ``weights_sha256`` of the GGUF file, ``request_sha256`` of
    the canonical request, ``answer_sha256`` of the answer's UTF-8 text.  ``tokens`` are the ids of
    the answer's tokens; ``end`` says that the token which ends the answer was looked at too, after
    them.  ``misses`` holds (index, rank, gap) of each that is not the model's first choice: its
    rank from 2, and how far its log-probability is below the best, in millionths of a nat.

    ``tolerance`` is the gap, in the same unit, that the runner allows for other processors and
    versions.  At a temperature above 0, ``surplus`` is the answer's negative log-likelihood under
    the sampler less its expected value (millionths of a nat), ``variance`` that of the surplus
    (millionths of a square nat), ``outside`` how many tokens the sampler would never have drawn;
    at 0 all three are None."""

    model: str
    weights_sha256: str
    tokenizer_sha256: str
    template_sha256: str | None
    runtime: str
    top_k: int
    top_p: str
    min_p: str
    request_sha256: str
    answer_sha256: str
    prompt_tokens: int
    tokens: tuple[int, ...]
    end: bool
    misses: tuple[tuple[int, int, int], ...]
    tolerance: int
    surplus: int | None
    variance: int | None
    outside: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class PaymentEvidence:
    """The authorisation that covers the call (no signature), and what is known of its
    settlement."""

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
    #: On the private route, where no TLS ends at the host; None on the direct one.
    sealed: SealedEvidence | None = None
    payment: PaymentEvidence | None = None
    #: Ids of other receipts that bear this very signature (looked up by the caller).
    signature_seen_in: tuple[str, ...] = ()
    #: The receipt (or the live network profile) says that this was the simulated network.
    declared_simulated: bool = False
    #: How the call was sent, and what the chain shows of it; None while that is not known.
    settlement_mode: SettlementMode = "private"
    settlement: BatchEvidence | IndividualEvidence | None = None
    agreement: AgreementEvidence | None = None
    weights: WeightsEvidence | None = None
    #: Why the weights that were to be run again were not: (code, reason), told by the caller.
    weights_not_run: tuple[str, str] | None = None
    #: Ids of other receipts that claim the same payment transaction under another nonce (looked up
    #: by the caller).
    payment_seen_in: tuple[str, ...] = ()
    #: What the registry that was asked says otherwise of the hosts that were compared (asked by the
    #: caller).
    agreement_contradicted: str | None = None
