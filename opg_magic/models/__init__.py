"""What travels through one call, from the prompt to the verdict.

Frozen dataclasses, no I/O, no heavy import.  Money is an integer of base units with its token;
times are aware UTC."""

from __future__ import annotations

from opg_magic.models.answers import (
    Answer,
    CallReceipt,
    Phase,
    Progress,
)
from opg_magic.models.claims import (
    BASES,
    CLAIM_NAMES,
    CLAIMS,
    STATUSES,
    Basis,
    ClaimName,
    Status,
)
from opg_magic.models.evidence import (
    AgreementEvidence,
    AgreementMember,
    AttestationEvidence,
    BatchEvidence,
    ChannelEvidence,
    Evidence,
    IndividualEvidence,
    PaymentEvidence,
    Problem,
    RegistryEvidence,
    RequestEvidence,
    ResponseEvidence,
    SealedEvidence,
    SettlementTx,
    WeightsEvidence,
)
from opg_magic.models.hosts import (
    Host,
)
from opg_magic.models.money import (
    Charge,
    Cost,
    ModelPrice,
    Money,
    format_units,
    parse_units,
    significant,
)
from opg_magic.models.payments import (
    Authorisation,
    PaymentTerms,
    Quote,
)
from opg_magic.models.prompts import (
    CHAT_PATH,
    COMPLETION_PATH,
    MAX_TEMPERATURE,
    MAX_TOKENS,
    Earlier,
    Kind,
    Prompt,
    SettleChoice,
    SettlementMode,
    Thread,
)
from opg_magic.models.verdicts import (
    AWS_ROOT_SHA256,
    Claim,
    SimulatedStatus,
    Trust,
    Verdict,
    VerdictStatus,
)

__all__ = [
    "AWS_ROOT_SHA256",
    "BASES",
    "CHAT_PATH",
    "CLAIMS",
    "CLAIM_NAMES",
    "COMPLETION_PATH",
    "MAX_TEMPERATURE",
    "MAX_TOKENS",
    "STATUSES",
    "AgreementEvidence",
    "AgreementMember",
    "Answer",
    "AttestationEvidence",
    "Authorisation",
    "Basis",
    "BatchEvidence",
    "CallReceipt",
    "ChannelEvidence",
    "Charge",
    "Claim",
    "ClaimName",
    "Cost",
    "Earlier",
    "Evidence",
    "Host",
    "IndividualEvidence",
    "Kind",
    "ModelPrice",
    "Money",
    "PaymentEvidence",
    "PaymentTerms",
    "Phase",
    "Problem",
    "Progress",
    "Prompt",
    "Quote",
    "RegistryEvidence",
    "RequestEvidence",
    "ResponseEvidence",
    "SealedEvidence",
    "SettleChoice",
    "SettlementMode",
    "SettlementTx",
    "SimulatedStatus",
    "Status",
    "Thread",
    "Trust",
    "Verdict",
    "VerdictStatus",
    "WeightsEvidence",
    "format_units",
    "parse_units",
    "significant",
]
