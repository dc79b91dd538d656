"""Expected failures, each with a short message that a person can act on.

Every class renders itself as one short paragraph in a notebook (``_render_traceback_``), while the
cell still fails, so that nbclient and papermill stop.  No message ever holds a key, a payment
signature or a session id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opg_magic.models import Answer, Charge, Cost, Verdict
    from opg_magic.receipt.document import Receipt


class OpgError(Exception):
    """Base of all expected failures.

    ``message`` says what happened, ``hint`` what to do about it, ``charge`` whether money moved
    (None: no payment was begun), ``receipt_id`` where the record of the call is kept."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        charge: Charge | None = None,
        receipt_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.charge = charge
        self.receipt_id = receipt_id

    def __str__(self) -> str:
        parts = [self.message]
        if self.hint:
            parts.append(self.hint)
        return "\n".join(parts)

    def _render_traceback_(self) -> list[str]:
        return [_rendered(self)]


def _rendered(error: Any) -> str:
    lines = [f"{type(error).__name__}: {error}"]
    if error.charge is not None:
        lines.append(f"Charge: {error.charge}")
    if error.receipt_id:
        # Of a withheld answer the hint says how to read it all the same.
        told = "--unverified" in str(error)
        lines.append(
            f"Kept as receipt {error.receipt_id}"
            + ("." if told else f": %opg show {error.receipt_id}")
        )
    return "\n".join(lines)


class ConfigError(OpgError):
    """A setting is unknown, malformed, or would loosen what the user's own settings demand."""


class PromptError(OpgError):
    """The prompt cannot be sent: empty, not representable as JSON, or naming a variable that is not
    there."""


class RequestError(PromptError):
    """The request would be refused or hashed ambiguously by a host (protocol section 3)."""


class ArgumentError(RequestError, ConfigError, ValueError):
    """An argument of a function or option has another type, choice or range than it may have.
    Nothing was sent."""


class MalformedMessage(OpgError, ValueError):
    """Bytes from outside do not have the documented form.  ``code`` is a short word for
    programs."""

    def __init__(self, message: str, *, code: str = "malformed", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.code = code


class NetworkUnavailable(OpgError):
    """The network cannot be used now: registry unreachable, no active host, simulated network not
    startable."""


class WrongChain(NetworkUnavailable):
    """An RPC serves another chain, or there is no contract at the registry's address."""


class RpcsDisagree(NetworkUnavailable):
    """Two RPCs gave different answers for one block: at least one of them lies."""


class HostUnavailable(OpgError):
    """One host cannot be used now; another may be."""


class ChannelRefused(HostUnavailable):
    """The TLS peer did not present exactly the registered certificate.  Nothing was sent."""


class AttestationRefused(HostUnavailable):
    """The host's attestation was offered and is not good.  Nothing was paid."""


class ClockSkew(OpgError):
    """This machine's clock differs too much from the chain's or the host's; signing now would be
    unsafe."""


class PaymentRefused(OpgError):
    """The host's payment terms are not what this network allows.  Nothing was signed."""


class LimitExceeded(PaymentRefused):
    """A spending limit of the user's forbids it.  Nothing was signed.

    ``cap`` is what was asked for, ``room`` the most that the limit still allows, in base units
    where known."""

    def __init__(
        self, message: str, *, cap: int | None = None, room: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.cap = cap
        self.room = room


class WalletError(OpgError):
    """No usable key, a refused key store, or not enough balance or allowance."""


class CallFailed(OpgError):
    """The call ended without a usable answer.  ``charge`` says whether it was paid for.

    ``verdict``, ``receipt`` and ``cost`` are set as far as the call came, for whoever shows it.
    ``came`` holds what the host sent where no receipt of it could be made: it was paid for, and
    nothing is proven of it."""

    def __init__(
        self,
        message: str,
        *,
        verdict: Verdict | None = None,
        receipt: Receipt | None = None,
        cost: Cost | None = None,
        came: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.verdict = verdict
        self.receipt = receipt
        self.cost = cost
        self.came = came


class HostReportsFailure(CallFailed):
    """The host itself said that it could not answer (an HTTP error, or its error frame in
    mid-stream)."""


class AnswerWithheld(CallFailed):
    """An answer came but did not pass; it is kept with its receipt and was not assigned."""


class HostsDisagree(OpgError):
    """No answer reached the quorum.  Nobody need have lied: ``answers`` are all kept, ``failures``
    came instead."""

    def __init__(
        self,
        message: str,
        *,
        answers: tuple[Answer, ...],
        failures: tuple[OpgError, ...],
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.answers = answers
        self.failures = failures


class CallInterrupted(KeyboardInterrupt):
    """The user pressed stop.  ``charge`` says whether the call was paid for."""

    def __init__(
        self,
        message: str,
        *,
        charge: Charge | None = None,
        receipt_id: str | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.charge = charge
        self.receipt_id = receipt_id
        self.receipt = receipt

    def _render_traceback_(self) -> list[str]:
        return [_rendered(self)]


class LedgerError(OpgError):
    """The ledger cannot be read or written."""


class InstallationError(OpgError):
    """A library does not do its work here.  That is no evidence about anything, so nothing is
    judged."""


class UnreadableReceipt(OpgError):
    """A file holds no receipt that can be read."""


class SimnetError(OpgError):
    """The simulated network could not be started, reached or told what to do."""
