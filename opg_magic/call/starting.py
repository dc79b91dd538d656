"""Step 1 of a call: the prompt becomes the bytes that are sent, or is refused."""

from __future__ import annotations

from opg_magic import errors
from opg_magic.call.state import (
    CallOptions,
    EngineSettings,
    Observer,
    RunningCall,
    policy_of,
    utc_now,
)
from opg_magic.models import CHAT_PATH, COMPLETION_PATH, Prompt
from opg_magic.models.networks import Network
from opg_magic.settings import prices


def start(
    prompt: Prompt,
    options: CallOptions,
    settings: EngineSettings,
    network: Network,
    price_list: prices.PriceList,
    timeout: float,
    observer: Observer | None,
) -> RunningCall:
    """The call with its id, body, policy and limits.  ``timeout`` in seconds.

    Raises PromptError and ConfigError; nothing was sent."""
    from opg_magic.protocol import canonical, request_body
    from opg_magic.receipt.build import MAX_REQUEST_BYTES
    from opg_magic.receipt.document import new_id

    if prompt.messages is None and not prompt.text.strip():
        raise errors.PromptError("The prompt is empty. Nothing was sent.")
    notes = _settlement_notes(prompt, network)
    body = request_body.build_body(prompt)
    if len(body) > MAX_REQUEST_BYTES:
        raise errors.PromptError(
            f"the request is {len(body):,} bytes; at most {MAX_REQUEST_BYTES:,} fit into a receipt",
            hint="Nothing was sent.",
        )
    model_sent = request_body.wire_model(prompt.model)
    return RunningCall(
        id=new_id(),
        created_at=utc_now(),
        prompt=prompt,
        model_sent=model_sent,
        path=CHAT_PATH if prompt.kind == "chat" else COMPLETION_PATH,
        body=body,
        request=canonical.request_evidence(body, prompt.kind),
        policy=policy_of(settings, options),
        limits=settings.limits.tightened(options.max_cost),
        timeout=timeout,
        timeout_is_users=options.timeout is not None,
        price=price_list.price(model_sent),
        observer=observer or (lambda _: None),
        notes=notes,
    )


def _settlement_notes(prompt: Prompt, network: Network) -> list[str]:
    """What becomes public of this call; ConfigError where nothing could be."""
    if prompt.settle == "private":
        return []
    if network.settlement_relay is None:
        raise errors.ConfigError(
            f"--settle batch needs a settlement relay for {network.title}. Nothing was sent.",
            hint="Set settlement_relay in your own settings, or leave --settle out.",
        )
    return [
        "its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash"
    ]
