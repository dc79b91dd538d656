"""Bare httpx as a worker (see workers.py): joins a paid session and posts; no registry, no check,
no record.

This is the least that an answer can cost.  Paying is done outside the clock.
"""

import asyncio
import json
import secrets
import ssl
import sys
import time

import httpx


async def main() -> None:
    setup = json.loads(sys.stdin.readline())
    from opg_magic.network import profiles, simnet_client
    from opg_magic.network.registry import RegistryReader
    from opg_magic.protocol import payment_terms, x402
    from opg_magic.wallet.bounds import Bounds
    from opg_magic.wallet.keys import open_wallet

    state = simnet_client.read_state()
    assert state is not None
    network = profiles.of_state(state)
    reader = RegistryReader(network)
    snapshot = await reader.snapshot()
    (host,) = [host for host in snapshot.hosts if host.tee_id == setup["tee_id"]]
    await reader.aclose()
    wallet = open_wallet(network, simulated_key=simnet_client.wallet_key(state))

    # The registered certificate as the only root: pinned enough for a peer, and a fair handshake.
    context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(host.tls_certificate))
    context.check_hostname = False
    client = httpx.AsyncClient(base_url=host.endpoint, verify=context, timeout=60)
    path = "/v1/chat/completions"
    headers = {"Authorization": "Bearer unused", "X-SETTLEMENT-TYPE": "private"}
    body = {
        "model": setup["model"].split("/")[1],
        "messages": [{"role": "user", "content": setup["prompt"]}],
        "max_tokens": 100,
        "temperature": 0.0,
    }

    async def pay() -> str:
        refused = await client.post(path, json=body, headers=headers)
        assert refused.status_code == 402, refused.status_code
        required = x402.parse_payment_required(refused.headers["payment-required"])
        terms, _ = payment_terms.choose_terms(required, network, host)
        now = int(time.time())
        authorisation = x402.authorise(
            terms, network, wallet.address, now=now, nonce=secrets.randbits(256)
        )
        bounds = Bounds.of(network, host, max_cap=terms.amount)
        header = x402.payment_header(
            authorisation, wallet.sign_permit(authorisation, network, bounds), terms
        )
        paid = await client.post(
            path, json=body, headers={**headers, "PAYMENT-SIGNATURE": header.reveal()}
        )
        paid.raise_for_status()
        return paid.headers["x-upto-session"]

    session, opened = await pay(), time.monotonic()

    async def call(stream: bool) -> dict[str, float]:
        nonlocal session, opened
        if time.monotonic() - opened > 100:
            session, opened = await pay(), time.monotonic()
        joined = {**headers, "X-Upto-Session": session}
        began, first = time.perf_counter(), None
        if stream:
            async with client.stream(
                "POST", path, json={**body, "stream": True}, headers=joined
            ) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if first is None and line.startswith("data: {"):
                        choices = json.loads(line[6:]).get("choices") or [{}]
                        if choices[0].get("delta", {}).get("content"):
                            first = time.perf_counter()
        else:
            response = await client.post(path, json=body, headers=joined)
            response.raise_for_status()
            assert response.json()["choices"][0]["message"]["content"]
        ended = time.perf_counter()
        return {"first_ms": ((first or ended) - began) * 1000, "total_ms": (ended - began) * 1000}

    await call(True)
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await call(json.loads(line)["stream"])), flush=True)
    await client.aclose()


asyncio.run(main())
