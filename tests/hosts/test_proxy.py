"""Through a proxy: the pin holds, nothing but the host's name is told, and this machine is never
proxied."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.connect_proxy import ConnectProxy, connect_proxy
from support.tls_host import Request, chunk, identity, reply, stream_head, tls_host

from opg_magic.errors import ChannelRefused, ConfigError, HostUnavailable, NetworkUnavailable
from opg_magic.models import CHAT_PATH
from opg_magic.models.proxy import Proxy, is_this_machine, proxy_for, read_proxy
from opg_magic.models.secret import Secret
from opg_magic.network.exchange import SendFailed
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.network.relay import SettlementReader
from opg_magic.network.rpc import Rpc
from opg_magic.network.transport import HostPool
from opg_magic.settings.config import Settings

PROMPT = b'{"messages": [{"content": "the prompt itself", "role": "user"}], "model": "gpt-5"}'
PAYMENT = Secret("cGF5bWVudC1zaWduYXR1cmUtbmV2ZXItc2hvd24=")
FAR = "https://far.test:8443"


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with connect_proxy() as made:
        yield made


async def answered(request: Request, writer: Any) -> None:
    if request.line.startswith("GET"):
        writer.write(reply("200 OK", b'{"status": "OK"}'))
        return
    writer.write(stream_head())
    writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def send(pool: HostPool, entry: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "headers": {"PAYMENT-SIGNATURE": PAYMENT},
        "stream": True,
        "kind": "chat",
        "timeout": 20,
    }
    return await pool.client(entry).send(CHAT_PATH, PROMPT, **{**defaults, **options})


async def test_a_host_is_reached_through_the_proxy_which_learns_its_name_and_no_more(
    proxy: ConnectProxy, tmp_path: Path
) -> None:
    mine = identity()
    pool = HostPool(timeout=10, proxy=read_proxy(f"http://me:pass%20word@127.0.0.1:{proxy.port}"))
    async with tls_host(mine, answered, tmp_path) as server:
        proxy.target = server.port
        entry = server.entry(mine.der, endpoint=FAR)
        assert (await pool.client(entry).health()).ok
        exchange = await send(pool, entry)
        channel = pool.client(entry).channel()
    await pool.aclose()
    assert (exchange.status, exchange.header_sent, exchange.complete) == (200, True, True)
    assert channel.certificate_sha256 == pool_pin(mine.der)
    assert server.requests[1].body == PROMPT
    assert set(proxy.lines) == {"CONNECT far.test:8443 HTTP/1.1"}
    told = "".join(proxy.asked)
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:pass word").decode() in told
    assert "Bearer" not in told and PAYMENT.reveal() not in told
    # What is for the proxy goes to the proxy alone.
    assert b"roxy-" not in bytes(server.received)


def pool_pin(der: bytes) -> str:
    import hashlib

    return hashlib.sha256(der).hexdigest()


async def test_attack_19_a_proxy_that_ends_tls_itself_reads_nothing(
    proxy: ConnectProxy, tmp_path: Path
) -> None:
    mine, liar = identity(), identity()
    proxy.liar, proxy.folder = liar, tmp_path
    pool = HostPool(timeout=10, proxy=Proxy(proxy.url))
    async with tls_host(mine, answered, tmp_path) as server:
        proxy.target = server.port
        entry = server.entry(mine.der, endpoint=FAR)
        client = pool.client(entry)
        for ask in (
            client.health,
            lambda: client.attestation(bytes(20)),
            lambda: send(pool, entry),
        ):
            with pytest.raises(ChannelRefused, match="nothing was sent"):
                await ask()
        assert server.connections == 0
    await pool.aclose()
    assert len(proxy.asked) == 3
    assert bytes(proxy.heard) == b""


async def test_attack_19_a_leaf_of_the_registered_certificate_is_refused_behind_a_proxy(
    proxy: ConnectProxy, tmp_path: Path
) -> None:
    mine = identity(ca=True)
    proxy.liar, proxy.folder = identity(issuer=mine), tmp_path
    pool = HostPool(timeout=10, proxy=Proxy(proxy.url))
    async with tls_host(mine, answered, tmp_path) as server:
        with pytest.raises(ChannelRefused, match="nothing was sent"):
            await send(pool, server.entry(mine.der, endpoint=FAR))
    await pool.aclose()
    assert bytes(proxy.heard) == b""


@pytest.mark.parametrize(
    "answer", ["407 Proxy Authentication Required", "403 No", "502 \x1b[2J", "302 Found"]
)
async def test_a_proxy_that_refuses_costs_nothing_and_its_password_stays_secret(
    proxy: ConnectProxy, tmp_path: Path, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.answer = answer
    mine = identity()
    pool = HostPool(timeout=10, proxy=read_proxy(f"http://me:hush-hush@127.0.0.1:{proxy.port}"))
    async with tls_host(mine, answered, tmp_path) as server:
        entry = server.entry(mine.der, endpoint=FAR)
        for ask in (pool.client(entry).health, lambda: send(pool, entry)):
            with pytest.raises(HostUnavailable) as refused:
                await ask()
            assert not isinstance(refused.value, ChannelRefused)
            words = str(refused.value)
            assert f"through the proxy 127.0.0.1:{proxy.port}" in words and answer[:3] in words
            assert "Nothing was sent" in words and "hush" not in words and "\x1b" not in words
    await pool.aclose()
    assert "hush" not in caplog.text and "aHVzaC" not in caplog.text


@pytest.mark.parametrize("how", ["silent", "gone"])
async def test_a_proxy_that_does_not_answer_leaves_nothing_unknown(
    proxy: ConnectProxy, tmp_path: Path, how: str
) -> None:
    """What was said to the proxy is no part of the call: it is not "charge unknown"."""
    proxy.silent = True
    mine = identity()
    address = proxy.url if how == "silent" else "http://127.0.0.1:1"
    pool = HostPool(timeout=10, proxy=Proxy(address))
    async with tls_host(mine, answered, tmp_path) as server:
        with pytest.raises(SendFailed, match="through the proxy"):
            await send(pool, server.entry(mine.der, endpoint=FAR), timeout=0.3)
    await pool.aclose()


async def test_hosts_and_rpcs_of_this_machine_are_never_proxied(
    proxy: ConnectProxy, tmp_path: Path
) -> None:
    mine = identity()
    pool = HostPool(timeout=10, proxy=Proxy(proxy.url))
    async with tls_host(mine, answered, tmp_path) as server:
        assert (await send(pool, server.entry(mine.der))).status == 200
    await pool.aclose()
    async with chain() as url:
        rpc = Rpc(url, timeout=10, proxy=Proxy(proxy.url))
        assert await rpc.chain_id() == 7
        await rpc.aclose()
    assert proxy.asked == []


# ----------------------------------------------------------------------------------- RPCs and blobs


def chain() -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def serving() -> AsyncIterator[str]:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"jsonrpc": "2.0", "id": 0, "result": "0x7"})

        app = web.Application()
        app.router.add_post("/{any:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    return serving()


async def test_an_rpc_is_asked_through_the_proxy(proxy: ConnectProxy) -> None:
    async with chain() as url:
        proxy.target = int(url.rpartition(":")[2])
        rpc = Rpc(
            "http://rpc.test/v1/an-api-key",
            timeout=10,
            proxy=read_proxy(f"http://me:hush@127.0.0.1:{proxy.port}"),
        )
        assert await rpc.chain_id() == 7
        await rpc.aclose()
    assert proxy.lines == ["POST http://rpc.test/v1/an-api-key HTTP/1.1"]
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:hush").decode() in proxy.asked[0]


async def test_an_rpc_over_tls_is_tunnelled_and_a_refusal_names_the_proxy(
    proxy: ConnectProxy,
) -> None:
    proxy.answer = "403 No"
    rpc = Rpc(
        "https://rpc.test/v1/an-api-key",
        timeout=10,
        proxy=read_proxy(f"http://me:hush@127.0.0.1:{proxy.port}"),
    )
    with pytest.raises(NetworkUnavailable) as refused:
        await rpc.chain_id()
    await rpc.aclose()
    assert proxy.lines == ["CONNECT rpc.test:443 HTTP/1.1"]
    assert f"RPC rpc.test unreachable through the proxy 127.0.0.1:{proxy.port}" in str(
        refused.value
    )
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:hush").decode() in proxy.asked[0]
    assert "an-api-key" not in "".join(proxy.asked) + str(refused.value)
    assert "hush" not in str(refused.value)


async def test_blobs_are_fetched_through_the_proxy(proxy: ConnectProxy) -> None:
    proxy.answer = "403 No"
    network = replace(
        OPENGRADIENT,
        settlement_relay="0x" + "11" * 20,
        blob_aggregators=("https://blobs.test",),
        proxy=Proxy(proxy.url),
    )
    reader = SettlementReader(network)
    with pytest.raises(NetworkUnavailable, match=r"blobs\.test unreachable"):
        await reader._blobs._blob("https://blobs.test", "A" * 43)
    await reader.aclose()
    assert proxy.lines == ["CONNECT blobs.test:443 HTTP/1.1"]


# -------------------------------------------------------------------------------------- the setting


@pytest.mark.parametrize(
    ("text", "url", "user", "password"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None, ""),
        (" http://proxy.example:3128/ ", "http://proxy.example:3128", None, ""),
        ("http://me:p%40ss@[::1]:80", "http://[::1]:80", "me", "p@ss"),
        ("HTTP://me@Proxy.example:8080", "http://proxy.example:8080", "me", ""),
    ],
)
def test_a_proxy_is_read(text: str, url: str, user: str | None, password: str) -> None:
    proxy = read_proxy(text)
    assert (proxy.url, proxy.user, proxy.password.reveal()) == (url, user, password)
    assert "p@ss" not in repr(proxy) + str(proxy)
    assert hash(proxy) == hash(read_proxy(text))


BAD = [
    "", "proxy.example:3128", "https://proxy.example:3128", "socks5://proxy.example:1080", "http://proxy.example",
    "http://:3128", "http://proxy.example:port", "http://proxy.example:3128/path", "http://proxy.example:3128?x",
    "http://me:hush%0d%0aX: "
    "y@proxy.example:3128", "http://a b:3128", "http://[::1:3128", "http://ü.example:3128", 3128,
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_proxy_is_refused_without_being_repeated(text: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a proxy such as"):
        read_proxy(text)
    if text:
        with pytest.raises(ConfigError, match="a proxy such as") as refused:
            settings(tmp_path, environ={"OPG_PROXY": str(text)}).get("proxy")
        assert "hush" not in str(refused.value)


def settings(
    folder: Path, *, environ: dict[str, str] | None = None, user: str = "", project: str = ""
) -> Settings:
    (folder / "user.toml").write_text(user)
    (folder / "pyproject.toml").write_text(project)
    return Settings(environ=environ or {}, user_file=folder / "user.toml", project_dir=folder)


def test_it_is_the_users_own_setting_and_shown_without_its_password(tmp_path: Path) -> None:
    url = "http://me:hush@proxy.example:3128"
    for mine in (
        settings(tmp_path, user=f'proxy = "{url}"'),
        settings(tmp_path, environ={"OPG_PROXY": url}),
    ):
        assert mine.get("proxy") == read_proxy(url)
        shown = {key: value for key, value, *_ in mine.rows()}["proxy"]
        assert "proxy.example:3128" in shown and "hush" not in shown
        with pytest.raises(ConfigError, match="never by a notebook"):
            mine.set("proxy", "http://mine.example:1")
    theirs = settings(tmp_path, project=f'[tool.opg]\nproxy = "{url}"')
    assert theirs.get("proxy") is None
    assert any("proxy: ignored" in note for note in theirs.notes)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_environments_proxies_are_not_used_and_that_is_said(tmp_path: Path, name: str) -> None:
    environ = {name: "http://me:hush@proxy.example:3128"}
    found = settings(tmp_path, environ=environ)
    assert found.get("proxy") is None
    assert any(name in note and "not used" in note for note in found.notes)
    assert not any("hush" in note for note in found.notes)
    assert settings(tmp_path, environ={**environ, "OPG_PROXY": "http://p.example:1"}).notes == []


def test_rpcs_are_shown_without_their_keys(tmp_path: Path) -> None:
    user = 'registry_rpcs = ["https://rpc.example/v2/an-api-key", "https://me:hush@b.example:8443", "http://c.example/"]'
    shown = {key: value for key, value, *_ in settings(tmp_path, user=user).rows()}["registry_rpcs"]
    assert shown == "https://rpc.example/…, https://b.example:8443/…, http://c.example"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("localhost", True), ("a.localhost", True), ("10.0.0.1", False), ("far.test", False),
        ("localhost.evil.test", False), ("127.0.0.1.evil.test", False), ("", False),
    ],
)  # fmt: skip
def test_this_machine_is_known_by_its_name_alone(host: str, here: bool) -> None:
    assert is_this_machine(host) is here
    proxy = Proxy("http://p.example:1")
    name = f"[{host}]" if ":" in host else host
    assert (proxy_for(f"https://{name}:443/x", proxy) is None) == here
    assert proxy_for(f"https://{name}:443", None) is None


def test_a_session_carries_the_setting_to_the_real_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.network.profiles import resolve_by_rpcs

    found = settings(tmp_path, user='proxy = "http://p.example:3128"')
    monkeypatch.setattr("opg_magic.network.simnet_client.read_state", lambda: None)
    assert resolve_by_rpcs((), found).proxy == Proxy("http://p.example:3128")
    assert resolve_by_rpcs(()).proxy is None
