"""Lies in the connection: certificates, redirects, failures, delays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opg_magic.simnet.host import responses
from opg_magic.simnet.host.conduct import (
    Enclave,
    Honest,
)

if TYPE_CHECKING:
    from aiohttp import web


class WrongCertificate(Honest):
    mode = "wrong-certificate"
    says = "presents a TLS certificate that is not the registered one"
    certificate = "foreign"


class IssuedCertificate(Honest):
    mode = "issued-certificate"
    says = "presents a TLS certificate issued by its registered one"
    certificate = "issued"


class Redirect(Honest):
    mode = "redirect"
    says = "answers prompts with a redirect to another address"

    def intercept(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        return host.redirect(request)


class Http500(Honest):
    mode = "http-500"
    says = "fails with HTTP 500 after the payment header; nothing is charged"

    async def before_answer(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        return responses.failure()


class Slow(Honest):
    mode = "slow"
    says = "takes half a second for each token"
    pause = 0.5
