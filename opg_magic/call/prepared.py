"""A call that is ready to be sent."""

from __future__ import annotations

from dataclasses import dataclass

from opg_magic.call.route import Payment
from opg_magic.call.state import EngineSettings, ReadyHost, RunningCall


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is reserved and signed for, and not sent yet."""

    call: RunningCall
    ready: ReadyHost
    payment: Payment
    settings: EngineSettings
