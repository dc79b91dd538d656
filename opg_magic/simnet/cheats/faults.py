"""What befalls a host that does not lie: seen of real ones, and switched on like a cheat."""

from __future__ import annotations

from opg_magic.simnet.host.conduct import Honest
from opg_magic.simnet.model.interface import Usage


class NoUsage(Honest):
    mode = "no-usage"
    says = "has a provider that counts no tokens: its answers are signed and never charged"

    def usage(self, usage: Usage) -> Usage | None:
        return None


class ProviderDown(Honest):
    mode = "provider-down"
    says = (
        "has a provider that is down: HTTP 500, or in a stream 200 and a frame that says so; "
        "nothing is charged"
    )
    provider_up = False


class FacilitatorDown(Honest):
    mode = "facilitator-down"
    says = "cannot reach its facilitator: HTTP 500 to every new payment, and nothing is collected"
    facilitator_up = False


class GatewayDown(Honest):
    mode = "gateway-down"
    says = "is dead behind its TLS front: 502 to everything but the attestation"
    gateway_up = False


FAULTS: tuple[type[Honest], ...] = (NoUsage, ProviderDown, FacilitatorDown, GatewayDown)
