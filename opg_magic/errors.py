"""Expected failures, each with a short message that a person can act on.

The tree:

* OpgError
  · ConfigError
  · PromptError
    + RequestError
      - ArgumentError  (a ConfigError and a ValueError, too)
  · MalformedMessage  (a ValueError, too)
  · NetworkUnavailable
    + WrongChain
    + RpcsDisagree
  · HostUnavailable
    + ChannelRefused
    + AttestationRefused
  · ClockSkew
  · PaymentRefused
    + LimitExceeded
  · WalletError
  · SignInNeeded
  · CallFailed
    + HostReportsFailure
    + AnswerWithheld
    + ShapeMismatch
    + ToolsStopped
  · HostsDisagree
  · LedgerError
  · InstallationError
  · WeightsError
  · UnreadableReceipt
  · SimnetError

KeyboardInterrupt

* CallInterrupted

Each renders itself as one short paragraph in a notebook (``_render_traceback_``), and the cell
still fails, so that nbclient and papermill stop.  No message holds a key, a payment signature or a
session id.

This file imports nothing of the package, so every part of it can raise these errors.  What an error
carries of a call is therefore named in words: ``charge`` is a :class:`opg_magic.models.Charge`,
``verdict`` a :class:`opg_magic.models.Verdict`, ``cost`` a :class:`opg_magic.models.Cost`,
``receipt`` a :class:`opg_magic.receipt.document.Receipt`, and each of ``answers`` an
:class:`opg_magic.models.Answer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class OpgError(Exception):
    """Base of all expected failures.

    ``shown`` is True once a card shows the message: below it, the error is brief.
    ``message`` says what happened and ``hint`` what to do about it.  ``charge`` says whether money
    was taken (None: no payment was begun), ``receipt_id`` which receipt holds the call."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        charge: str | None = None,
        receipt_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.charge = charge
        self.receipt_id = receipt_id
        self.shown = False

    def __str__(self) -> str:
        parts = [self.message]
        if self.hint:
            parts.append(self.hint)
        return "\n".join(parts)

    def _render_traceback_(self) -> list[str]:
        return [_rendered(self)]


def _rendered(error: Any) -> str:
    if getattr(error, "shown", False):
        # Said again, because the log of a job that runs the notebook has no card.  Of a withheld
        # answer the card also says how to read it.
        hint = [error.hint] if error.hint and "--unverified" not in error.hint else []
        kept = f" (receipt {error.receipt_id})" if error.receipt_id else ""
        said = f"{type(error).__name__}: {error.message.rstrip('.')}."
        return "\n".join([said, f"See the card above{kept}.", *hint])
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
    """The prompt cannot be sent: it is empty, has no JSON form, or names a variable that does not
    exist."""


class RequestError(PromptError):
    """A host would refuse the request, or hash it in more than one way.  Nothing was sent."""


class ArgumentError(RequestError, ConfigError, ValueError):
    """An argument or option has a type, value or range that is not allowed.  Nothing was sent."""


class MalformedMessage(OpgError, ValueError):
    """Bytes from outside do not have the documented form.  ``code`` names the fault for
    programs."""

    def __init__(self, message: str, *, code: str = "malformed", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.code = code


class NetworkUnavailable(OpgError):
    """The network cannot be used now: the registry is unreachable or lists no active host, or the
    simulated network does not start."""


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
    """The call would exceed one of the user's spending limits.  Nothing was signed.

    ``cap`` is what the host asked for, ``room`` the most that the limit still allows; both in base
    units, None where unknown."""

    def __init__(
        self, message: str, *, cap: int | None = None, room: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.cap = cap
        self.room = room


class WalletError(OpgError):
    """There is no usable key, a keystore was refused, or balance or allowance are too low."""


class SignInNeeded(OpgError):
    """There is no sign-in at a relay, or it has expired.  Nothing was sent."""


class CallFailed(OpgError):
    """The call ended without a usable answer.  ``charge`` says whether money was taken.

    ``verdict``, ``receipt`` and ``cost`` are set as far as the call got.  ``came`` holds what the
    host sent where no receipt of it could be made: it may be paid for, and nothing is proven."""

    def __init__(
        self,
        message: str,
        *,
        verdict: Any | None = None,
        receipt: Any | None = None,
        cost: Any | None = None,
        came: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.verdict = verdict
        self.receipt = receipt
        self.cost = cost
        self.came = came


class HostReportsFailure(CallFailed):
    """The host said that it could not answer: an HTTP error, or an error within its stream.

    ``status`` is the HTTP status, ``retry_after`` the seconds for which the host asks to be left
    alone; None where it said nothing."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.status = status
        self.retry_after = retry_after


class AnswerWithheld(CallFailed):
    """An answer came and did not pass.  Its receipt is kept; the answer was not assigned."""


def read_all_the_same(receipt_id: str) -> str:
    """The hint of a withheld answer."""
    return f"To read the text all the same: %opg show {receipt_id} --unverified"


class ShapeMismatch(CallFailed):
    """A checked and paid answer does not have the shape that was asked for.  Its receipt is kept.

    ``answer`` is that :class:`opg_magic.models.Answer`, its text as signed; None where only a text
    was read."""

    def __init__(self, message: str, *, answer: Any | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.answer = answer


class ToolsStopped(CallFailed):
    """An answer asks for tools that were not run: not confirmed, not signed, or one round too many.

    ``answer`` is that :class:`opg_magic.models.Answer`; it is paid for, and its receipt is kept."""

    def __init__(self, message: str, *, answer: Any | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.answer = answer


class HostsDisagree(OpgError):
    """No answer reached the quorum, which does not mean that a host lied.

    ``answers`` are those that came, each with its receipt; ``failures`` the errors of the other
    hosts."""

    def __init__(
        self,
        message: str,
        *,
        answers: tuple[Any, ...] = (),  # by default, for pickle: it makes an error by its message
        failures: tuple[OpgError, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.answers = answers
        self.failures = failures


class CallInterrupted(KeyboardInterrupt):
    """The user pressed stop.  ``charge`` says whether money was taken."""

    def __init__(
        self,
        message: str,
        *,
        charge: str | None = None,
        receipt_id: str | None = None,
        receipt: Any | None = None,
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
    """A library does not work on this machine.  Nothing was checked, so there is no verdict."""


class WeightsError(OpgError):
    """Weights cannot be used here: not installed, not a model, cut, too large, or not the pinned
    file.  That says nothing about any answer."""


class UnreadableReceipt(OpgError):
    """A file holds no receipt that can be read."""


class SimnetError(OpgError):
    """The simulated network could not be started, reached or told what to do."""
