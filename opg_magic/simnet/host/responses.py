"""The answers of a host that are not a model's, byte for byte in the forms that were recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opg_magic.models.secret import Secret
from opg_magic.simnet.host.conduct import write_document

if TYPE_CHECKING:
    from aiohttp import web

#: What a 402 says beside its offers, as recorded.  A client must not sign any of it by itself.
EXTENSIONS: dict[str, Any] = {
    "erc20ApprovalGasSponsoring": {
        "info": {
            "description": "The facilitator accepts a raw signed approval transaction and will "
            "sponsor the gas fees.",
            "version": "1",
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "from": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The address of the sender.",
                },
                "asset": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The ERC-20 token contract address to approve.",
                },
                "spender": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The address of the spender (Canonical Permit2).",
                },
                "amount": {
                    "type": "string",
                    "pattern": "^[0-9]+$",
                    "description": "Approval amount (uint256).",
                },
                "signedTransaction": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]+$",
                    "description": "RLP-encoded signed transaction calling ERC20.approve().",
                },
                "version": {
                    "type": "string",
                    "pattern": "^[0-9]+(\\.[0-9]+)*$",
                    "description": "Schema version identifier.",
                },
            },
            "required": ["from", "asset", "spender", "amount", "signedTransaction", "version"],
        },
    }
}


def indented(
    document: Mapping[str, Any], *, status: int, content_type: str = "application/json"
) -> web.Response:
    """JSON as the gateway's framework writes it: indented, keys sorted."""
    from aiohttp import web

    return web.Response(status=status, body=write_document(document), content_type=content_type)


def compact(document: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """JSON as the gateway's small routes write it: no blanks, keys sorted."""
    from aiohttp import web

    text = json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n"
    return web.Response(status=status, body=text.encode(), content_type="application/json")


def problem(status: int, title: str, detail: str) -> web.Response:
    """A refusal by the framework (RFC 7807)."""
    document = {"detail": detail, "status": status, "title": title, "type": "about:blank"}
    return indented(document, status=status, content_type="application/problem+json")


def session_gone() -> web.Response:
    """The 402 for a payment session that takes no more calls."""
    return payment_error(b'{"error": "Session expired or exhausted"}', {})


def payment_error(body: bytes, headers: dict[str, str]) -> web.Response:
    """A 402, in chunks as recorded."""
    from aiohttp import web

    response = web.Response(status=402, body=body, content_type="application/json", headers=headers)
    if headers:
        # Recorded: a 402 that asks for payment names its type twice.
        response.headers.add("Content-Type", "application/json")
    response.enable_chunked_encoding()
    return response


def payment_required(
    offer: Mapping[str, Any], *, url: str, description: str, error: str
) -> web.Response:
    """The 402 that names the terms; ``error`` is why a payment that came was not taken."""
    message = {
        "x402Version": 2,
        "error": error,
        "resource": {"url": url, "description": description, "mimeType": "application/json"},
        "accepts": [offer],
        "extensions": EXTENSIONS,
    }
    header = base64.b64encode(json.dumps(message, separators=(",", ":")).encode()).decode()
    return payment_error(b"{}", {"PAYMENT-REQUIRED": header})


def html_error() -> web.Response:
    """What a host says whose facilitator cannot be reached: the web framework's own page."""
    from aiohttp import web

    page = (
        "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n"
        "<h1>Internal Server Error</h1>\n"
    )
    return web.Response(status=500, text=page, content_type="text/html")


def bad_gateway() -> web.Response:
    """What the TLS front says where nothing answers behind it."""
    from aiohttp import web

    page = (
        "<html>\n<head><title>502 Bad Gateway</title></head>\n"
        "<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
    )
    return web.Response(status=502, text=page, content_type="text/html")


def failure() -> web.Response:
    """HTTP 500 as recorded."""
    return indented({"error": "Request processing failed"}, status=500)


async def wants_stream(request: web.Request) -> bool:
    """Whether the request's body asks for a stream."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("stream") is True


async def cut(request: web.Request, session_id: Secret[str], raw: bytes) -> web.StreamResponse:
    """Half of a body of known length, then the end of the connection."""
    from aiohttp import web

    headers = {"Content-Type": "application/json", "X-Upto-Session": session_id.reveal()}
    response = web.StreamResponse(headers=headers)
    response.content_length = len(raw)
    await response.prepare(request)
    await response.write(raw[: len(raw) // 2])
    abort(request)
    return response


def abort(request: web.Request) -> None:
    """Close the connection of a request at once."""
    if request.transport is not None:
        request.transport.close()
