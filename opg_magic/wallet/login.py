"""Signing in: the browser and the chat app, or a sign-in that is pasted; then asking about what
differs from the user's own settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from opg_magic.errors import ConfigError, SignInNeeded
from opg_magic.models.networks import Network
from opg_magic.models.plain_text import inert
from opg_magic.models.proxy import is_this_machine
from opg_magic.models.secret import Secret
from opg_magic.network.ohttp_relay import relay_base
from opg_magic.settings import files
from opg_magic.settings.sign_in import SignIn
from opg_magic.wallet import sign_in_store
from opg_magic.wallet.login_bundle import Bundle, parse
from opg_magic.wallet.login_listener import Listener, sign_in_url

#: The chat app of the real network, and the relay that it names (the official SDK's defaults).
CHAT_APP = "https://chat.opengradient.ai"
RELAY = "https://chat-api.opengradient.ai"
#: Seconds for signing in, in a browser.
TIMEOUT = 300.0
#: Where a page can hand nothing over: browsers refuse this port (discard), so the page shows the
#: sign-in for copying.
_NOWHERE = "http://127.0.0.1:9/"

KEPT = {
    "keyring": "in the OS keyring",
    "file": "in a file encrypted with OPG_KEYSTORE_PASSWORD",
    "process": "in this process only: it ends with it",
}


def log_in(
    network: Network,
    *,
    no_browser: bool = False,
    in_kernel: bool = False,
    timeout: float = TIMEOUT,
    say: Callable[[str], None] = print,
    open_browser: Callable[[str], bool] | None = None,
) -> SignIn:
    """Sign in at a network's relay, keep the sign-in and return it.  What the user agrees to on the
    way is written into the user's own settings: read those again afterwards.

    ``timeout`` in seconds.  Raises SignInNeeded if nobody signs in, the sign-in is refused, or its
    relay is declined; ConfigError, WalletError."""
    where = sign_in_store.place()
    if where == "process" and not in_kernel:
        raise SignInNeeded(
            "There is no keyring here to keep a sign-in in, and opg ends with the command.",
            hint="Set OPG_KEYSTORE_PASSWORD, then sign in again: it is kept in an encrypted file. "
            "Or use %opg login in a notebook.",
        )
    chat_app = network.private_relay if network.simulated else CHAT_APP
    if chat_app is None:
        raise ConfigError(f"{network.title} has no sign-in page.")
    if no_browser or is_remote():
        bundle = _pasted(chat_app, say)
    else:
        bundle = _from_browser(chat_app, timeout, say, open_browser)
    agreed: dict[str, Any] = {}
    relay = _relay(network, bundle, agreed)
    _registry(network, bundle, say, agreed)
    found = SignIn(relay, bundle.token, bundle.expires_at, bundle.account)
    sign_in_store.keep(network, found, where)
    # Last: settings for a sign-in that was not kept would send later calls to a stranger's relay.
    for key, value in agreed.items():
        files.write_user(key, value)
    say(f"{described(found)}\nKept {KEPT[where]}.")
    return found


def log_out(network: Network, say: Callable[[str], None] = print) -> None:
    """Take the sign-in away.  Raises WalletError if the keyring does not let go of it."""
    there = sign_in_store.forget(network)
    say(
        f"Signed out of {network.title} on this machine. The token stays valid at the relay until "
        f"it expires."
        if there
        else f"You were not signed in to {network.title}."
    )


def who_am_i(network: Network, say: Callable[[str], None] = print) -> bool:
    """Say who is signed in, and return whether a call could be made.  Raises WalletError."""
    found = sign_in_store.current(network)
    if found is None:
        say(f"Not signed in to {network.title}. Sign in: %opg login")
        return False
    where = sign_in_store.kept_in(network) or "process"
    say(f"{described(found)}\nKept {KEPT[where]}.")
    return not found.is_over()


def described(found: SignIn) -> str:
    """Return account, relay and expiry in words."""
    name = inert(found.account or "an account without a name")
    relay = urlsplit(found.relay).netloc
    if found.expires_at is None:
        return f"Signed in as {name} at {relay}; the expiry is not known."
    time = f"{found.expires_at:%Y-%m-%d %H:%M} UTC"
    if found.is_over():
        return f"The sign-in of {name} at {relay} expired at {time}. Sign in again: %opg login"
    return f"Signed in as {name} at {relay} until {time}."


def is_remote() -> bool:
    """Return whether the browser is probably on another machine."""
    if any(os.environ.get(name) for name in ("SSH_CONNECTION", "JUPYTERHUB_API_URL")):
        return True
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform == "linux" and not any(os.environ.get(name) for name in screens)


def _from_browser(
    chat_app: str,
    timeout: float,
    say: Callable[[str], None],
    open_browser: Callable[[str], bool] | None,
) -> Bundle:
    import webbrowser

    with Listener(chat_app) as listener:
        say(f"Sign in in your browser:\n{listener.url}")
        try:
            (open_browser or webbrowser.open)(listener.url)
        except webbrowser.Error:
            say("No browser opened. Open the address yourself.")
        return listener.wait(timeout)


def _pasted(chat_app: str, say: Callable[[str], None]) -> Bundle:
    import getpass

    say(
        f"Sign in in your browser:\n{sign_in_url(chat_app, _NOWHERE)}\n"
        f"The page cannot reach this machine. Copy what it shows and paste it at the prompt; it is "
        f"not echoed."
    )
    text: Secret[str] | None = None
    try:
        text = Secret(getpass.getpass("Paste the sign-in: "))
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException:  # a front end without prompts, or a closed terminal
        text = None
    if text is None or not text:
        raise SignInNeeded(
            "Nothing was pasted. You are not signed in.",
            hint="A notebook that runs without a front end cannot ask: use opg login in a shell.",
        )
    return parse(text)


def _relay(network: Network, bundle: Bundle, agreed: dict[str, Any]) -> str:
    """The relay that the sign-in is for: the user's own, or another after asking."""
    own = relay_base(network.private_relay or RELAY)
    named = own if bundle.relay is None else relay_base(bundle.relay)
    if named == own:
        return own
    asked = f"The chat app names the relay {inert(named)}; yours is {own}. Use {inert(named)}?"
    if network.simulated or not _agreed(asked):
        raise SignInNeeded(
            f"The sign-in is for the relay {inert(named)}, and you use {own}. It was not kept."
        )
    agreed["private_relay"] = named
    return named


def _registry(
    network: Network, bundle: Bundle, say: Callable[[str], None], agreed: dict[str, Any]
) -> None:
    """The registry stays the user's own unless the user agrees to another RPC."""
    address = bundle.registry_address
    if address is not None and address.lower() != network.registry_address.lower():
        say(
            f"The chat app names the host registry {inert(address)}. It is not used: yours stays "
            f"{network.registry_address}."
        )
    rpc = bundle.registry_rpc
    own = [url.rstrip("/") for url in network.registry_rpcs]
    if rpc is None or rpc.rstrip("/") in own:
        return
    if not _is_safe(rpc):
        say(
            f"The chat app names {inert(rpc)} for the host registry. It is not used: it does not "
            f"begin with https://."
        )
        return
    asked = (
        f"The chat app reads the host registry at {inert(rpc)}; you read it at {', '.join(own)}. "
        f"Use {inert(rpc)} instead?"
    )
    if not network.simulated and _agreed(asked):
        agreed["registry_rpcs"] = [rpc]
    else:
        say(f"The host registry is still read at {', '.join(own)}.")


def _is_safe(url: str) -> bool:
    """Whether what is read there comes unaltered: by TLS, or from this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))
    )


def _agreed(question: str) -> bool:
    """Whether the user says yes.  Where nobody can be asked, the answer is no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        raise
    except Exception:
        return False
