"""Every setting there is: how it is read, its default, who may change it, and its line of help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.models.networks import SIM
from opg_magic.settings import values
from opg_magic.settings.values import Converter


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    ``convert`` reads a value.  ``tighten``: how a project or a notebook may tighten it, None if it
    may not.  ``amount``: the value is base units of OPG.  ``gathered``: the values of all places
    add up by ``tighten``; otherwise only the first place that names the setting counts."""

    key: str
    convert: Converter
    default: Any
    help: str
    tighten: Callable[[Any, Any], Any] | None = None
    amount: bool = False
    gathered: bool = False
    #: Whether an error repeats a malformed value; not if a password may stand in it.
    echoed: bool = True
    #: Replaces the field of the same name in a real network's profile.
    of_network: bool = False
    #: Set only in the user's own file or environment: a notebook may be a stranger's.
    own: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("network", values.text, SIM, "which network answers: sim or opengradient"),
    Setting("model", values.text, "openai/gpt-5", "model asked for when a cell names none"),
    Setting(
        "unknown_models",
        values.one_of("refuse", "ask"),
        "refuse",
        "what to do with a model that the price list does not have: refuse it, or ask for it",
    ),
    Setting(
        "aliases",
        values.named_texts,
        {},
        "model names of your own: @fast for aliases.fast",
        own=True,
    ),
    Setting(
        "templates",
        values.templates,
        {},
        "prompts of your own, with {{cell}} where the cell goes: -t NAME",
        own=True,
    ),
    Setting(
        "policy",
        values.one_of(*values.POLICIES),
        "default",
        "which checks must pass: default, strict or audit",
        values.stricter,
    ),
    Setting(
        "required_claims",
        values.claims,
        (),
        "checks that must pass besides the policy's; all places add up",
        values.union,
        gathered=True,
    ),
    Setting(
        "weights",
        values.reruns,
        "ask",
        "when to run open weights again: ask (by command), always, or sample 0.1",
        values.more_often,
    ),
    Setting(
        "timeout",
        values.seconds(1, 3600),
        120.0,
        "seconds before a call is abandoned; a payment's deadline may leave less",
    ),
    Setting(
        "max_deadline",
        values.seconds(60, 3600),
        600.0,
        "longest deadline of a payment in seconds; longer is cut",
        min,
    ),
    Setting(
        "session_idle",
        values.seconds(5, 600),
        None,
        "seconds after which hosts settle (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Setting(
        "max_cost_per_call",
        values.opg_amount,
        10**17,
        "highest cap of one call, in OPG; 0 allows none",
        min,
        amount=True,
    ),
    Setting(
        "max_cost_per_kernel",
        values.opg_amount,
        10**18,
        "highest sum of caps of one kernel, in OPG",
        min,
        amount=True,
    ),
    Setting(
        "max_cost_per_day",
        values.opg_amount,
        5 * 10**18,
        "highest sum of caps of all kernels in a UTC day, in OPG",
        min,
        amount=True,
    ),
    Setting(
        "on_repeat",
        values.one_of("ask-ledger", "ask-ledger-sampled", "pay"),
        "ask-ledger",
        "when a notebook asks again: the recorded answer (sampled: at any temperature), or pay",
    ),
    Setting(
        "route",
        values.one_of("auto", "direct", "private"),
        "auto",
        "how to reach hosts: direct (wallet), private (sign-in), or auto",
    ),
    Setting(
        "required_route",
        values.one_of("any", "direct", "private"),
        "any",
        "route that every call must take: any, direct or private",
        values.one_route,
    ),
    Setting(
        "private_relay",
        values.text,
        None,
        "URL of the relay of the private route (empty: that of your sign-in)",
        of_network=True,
        own=True,
    ),
    Setting(
        "private_attestation",
        values.yes_or_no,
        True,
        "on the private route, ask the host itself for its attestation; it sees your address, not "
        "your prompt",
    ),
    Setting(
        "max_calls_per_day",
        values.count,
        500,
        "most calls of all kernels in a UTC day on the private route; 0 allows none",
        min,
    ),
    Setting(
        "max_tokens_per_day",
        values.count,
        2_000_000,
        "most tokens of all kernels in a UTC day on the private route; 0 allows none",
        min,
    ),
    Setting("skew", values.seconds(0, 3600), 300.0, "seconds that a host's clock may be off", min),
    Setting(
        "registry_max_age",
        values.seconds(0, 1800),
        60.0,
        "seconds that a registry reading may be reused",
        min,
    ),
    Setting(
        "attestation_max_age",
        values.seconds(0, 86400),
        60.0,
        "seconds that an attestation may be reused",
        min,
    ),
    Setting(
        "wallet",
        values.one_of("auto", "environment", "keystore", "keyring"),
        "auto",
        "where the key of a real network is",
        own=True,
    ),
    Setting(
        "registry_rpcs",
        values.texts,
        (),
        "RPC URLs of the registry chain (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Setting(
        "payment_rpcs",
        values.texts,
        (),
        "RPC URLs of the payment chain (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Setting(
        "facilitators",
        values.texts,
        (),
        "addresses that may settle payments, pinned by you",
        of_network=True,
        own=True,
    ),
    Setting(
        "payees",
        values.texts,
        (),
        "addresses that may be paid besides a host's registered one, pinned by you",
        of_network=True,
        own=True,
    ),
    Setting(
        "settlement_relay",
        values.text,
        None,
        "contract that publishes hashes on chain (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Setting(
        "settlement_senders",
        values.texts,
        (),
        "addresses whose batches count, pinned by you",
        of_network=True,
        own=True,
    ),
    Setting(
        "blob_aggregators",
        values.texts,
        (),
        "URLs that batches are fetched from",
        of_network=True,
        own=True,
    ),
    Setting(
        "proxy",
        values.proxy_url,
        None,
        "HTTP proxy to hosts and RPCs, as http://name:port; never for this machine",
        echoed=False,
        of_network=True,
        own=True,
    ),
    Setting(
        "pinned_pcrs", values.texts, (), "PCR hashes that you trust by your own review", own=True
    ),
    Setting(
        "prices_file",
        values.text,
        None,
        "JSON file that overrides the built-in price list",
        own=True,
    ),
)
BY_KEY = {setting.key: setting for setting in SETTINGS}

#: Settings of earlier versions.  A file that still names one is read anyway; a note says why it no
#: longer counts.
RETIRED = {
    "allow_public_settlement": "individual settlement was removed; nothing is published in plain "
    "text",
}

#: The settings that replace fields of a real network's profile.
NETWORK_KEYS = tuple(setting.key for setting in SETTINGS if setting.of_network)

#: The settings that a notebook cannot change.
OWN = frozenset(setting.key for setting in SETTINGS if setting.own)


def setting(key: str) -> Setting:
    """Return the setting of that name.  Raises :class:`ConfigError`, suggesting the closest name,
    if there is none."""
    key = key.replace("-", "_")
    if key in RETIRED:
        raise ConfigError(
            f"The setting {key} no longer exists: {RETIRED[key]}.",
            hint="Remove it from config.toml.",
        )
    found = BY_KEY.get(key)
    if found is None:
        near = get_close_matches(key, BY_KEY, n=1)
        hint = f"Did you mean {near[0]}?" if near else "See: %opg config"
        raise ConfigError(f"There is no setting {key!r}.", hint=hint)
    return found
