"""Keys: where they come from, what they sign, and that nothing shows them (attack 28)."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import stat
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from support import signing

from opg_magic.errors import PaymentRefused, WalletError
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPENGRADIENT, simulated
from opg_magic.protocol import x402
from opg_magic.wallet import keys, keystore, os_keyring
from opg_magic.wallet.bounds import Bounds
from opg_magic.wallet.keys import Wallet, open_wallet
from opg_magic.wallet.keystore import create_keystore, keystore_address, read_keystore

HEX = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
KEY = bytes.fromhex(HEX)
ADDRESS = Account.from_key(KEY).address
SIM = "17" * 32
PASSWORD = "correct horse battery staple"
FACILITATOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYEE = "0x9deEBB5D1b22e4a6e027977CeAd13893A7E4cC1a"
STRANGER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
NOW = 1_795_212_678
NETWORK = replace(OPENGRADIENT, facilitators=(FACILITATOR,))
BOUNDS = Bounds(
    frozenset({PAYEE.lower()}), frozenset({FACILITATOR.lower()}), max_cap=10**17, max_seconds=300
)
SIMULATED = simulated(
    registry_rpc="http://127.0.0.1:1",
    payment_rpc="http://127.0.0.1:1",
    facilitator=FACILITATOR,
    run_id="r",
    root_sha256="",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    monkeypatch.delenv(keys.KEY_VARIABLE, raising=False)
    monkeypatch.delenv(keystore.PASSWORD_VARIABLE, raising=False)
    return tmp_path


def wallet(network: Network = NETWORK) -> Wallet:
    return Wallet(Secret(KEY), simulated=network.simulated, source="test")


def authorisation(**changes: Any) -> Authorisation:
    auth = Authorisation(
        chain_id=8453,
        payer=ADDRESS,
        token=NETWORK.token.address,
        cap=10**17,
        spender=NETWORK.upto_proxy,
        nonce=7,
        deadline=NOW + 300,
        pay_to=PAYEE,
        facilitator=FACILITATOR,
        valid_after=NOW - 600,
    )
    return replace(auth, **changes)


def sign(auth: Authorisation, bounds: Bounds = BOUNDS) -> Secret[str]:
    return wallet().sign_permit(auth, NETWORK, bounds, clock=lambda: NOW)


# ------------------------------------------------------------------------------------------ signing


def test_a_permit_signed_recovers_to_the_wallet() -> None:
    auth = authorisation()
    signature = sign(auth)
    message = encode_typed_data(full_message=x402.typed_data(auth, NETWORK))
    assert Account.recover_message(message, signature=signature.reveal()) == ADDRESS
    assert isinstance(signature, Secret)


@pytest.mark.parametrize(
    ("changes", "theirs"),
    [
        ({"payer": PAYEE}, PAYEE),
        ({"token": PAYEE}, PAYEE),
        ({"spender": PAYEE}, PAYEE),
        ({"chain_id": 1}, "chain 1"),
        ({"cap": 10**17 + 1}, "0.100000000000000001 OPG; at most 0.1 OPG"),
        ({"cap": 0}, "0 OPG"),
        ({"cap": -1}, "-0.000000000000000001 OPG"),
        ({"pay_to": STRANGER}, f"payee {STRANGER}; this wallet signs for {PAYEE.lower()}"),
        (
            {"facilitator": STRANGER},
            f"facilitator {STRANGER}; this wallet signs for {FACILITATOR.lower()}",
        ),
        ({"deadline": NOW + 301}, "301 s from now; at most 300 s"),
        # The span is as long as ever, and lies somewhere else in time.
        (
            {"deadline": NOW + 100_300, "valid_after": NOW + 99_400},
            "100300 s from now; at most 300 s",
        ),
        ({"deadline": NOW - 1, "valid_after": NOW - 901}, "passed 1 s ago"),
        ({"deadline": NOW}, "passed 0 s ago"),
        ({"valid_after": NOW + 1}, "only in 1 s"),
        ({"valid_after": NOW - 700}, "made 100 s ago"),
    ],
)
def test_attack_21_the_wallet_itself_refuses_what_it_was_not_told_to_sign(
    changes: dict[str, Any], theirs: str
) -> None:
    with pytest.raises(PaymentRefused, match=theirs):
        sign(authorisation(**changes))


def test_attack_21_without_a_pinned_facilitator_the_wallet_signs_nothing() -> None:
    with pytest.raises(PaymentRefused, match="signs for none"):
        sign(authorisation(), bounds=replace(BOUNDS, facilitators=frozenset()))


def test_what_may_be_signed_comes_from_registry_profile_and_pins_alone() -> None:
    host = signing.host(payment_address=PAYEE)
    bounds = Bounds.of(
        replace(NETWORK, payees=("0xAA",)),
        host,
        max_cap=5,
        payees=("0xBB",),
        facilitators=("0xCC",),
    )
    assert bounds.payees == {PAYEE.lower(), "0xaa", "0xbb"}
    assert bounds.facilitators == {FACILITATOR.lower(), "0xcc"}
    assert (bounds.max_cap, bounds.max_seconds) == (5, 600)


def test_an_approval_is_for_permit2_the_token_and_the_amount_asked_for() -> None:
    raw = wallet().sign_approval(
        NETWORK, amount=5, nonce=3, gas=60_000, max_fee=10, max_priority_fee=1
    )
    assert Account.recover_transaction(raw) == ADDRESS
    digits = raw.hex()
    assert NETWORK.token.address[2:].lower() in digits
    assert (
        "095ea7b3" + NETWORK.permit2[2:].lower().rjust(64, "0") + hex(5)[2:].rjust(64, "0")
        in digits
    )


# ------------------------------------------------------------------------------------------ sources


def test_the_environments_key_opens_a_wallet(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (HEX, "0x" + HEX, f"  0x{HEX.upper()}\n"):
        monkeypatch.setenv(keys.KEY_VARIABLE, text)
        assert open_wallet(NETWORK).address == ADDRESS


@pytest.mark.parametrize(
    "text",
    [
        HEX[:-1],
        HEX + "00",
        "g" * 64,
        "00" * 32,
        "ff" * 32,
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
    ],
)
def test_attack_28_a_malformed_key_in_the_environment_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(keys.KEY_VARIABLE, text)
    with pytest.raises(WalletError) as refused:
        open_wallet(NETWORK)
    assert text not in str(refused.value)
    assert text[:20] not in shown_with_locals(refused.value)


def test_without_any_source_it_is_said_what_to_do() -> None:
    with pytest.raises(WalletError, match="opg wallet new"):
        open_wallet(NETWORK)


def test_the_environment_comes_before_the_keystore(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    other = create_keystore(password=Secret(PASSWORD), iterations=2)
    monkeypatch.setenv(keystore.PASSWORD_VARIABLE, PASSWORD)
    assert open_wallet(NETWORK).address == other
    monkeypatch.setenv(keys.KEY_VARIABLE, HEX)
    assert open_wallet(NETWORK).address == ADDRESS
    assert open_wallet(NETWORK, source="keystore").address == other


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(WalletError, match="unknown wallet source"):
        open_wallet(NETWORK, source="clipboard")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- the simulated network


def test_a_simulated_network_uses_the_simulators_key_even_if_there_are_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(keys.KEY_VARIABLE, HEX)
    opened = open_wallet(SIMULATED, simulated_key=Secret(SIM))
    assert opened.address == Account.from_key("0x" + SIM).address
    assert opened.simulated


def test_a_simulated_network_refuses_a_users_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.KEY_VARIABLE, HEX)
    for options in (
        {},
        {"source": "environment"},
        {"source": "environment", "simulated_key": Secret(SIM)},
    ):
        with pytest.raises(WalletError, match="only the key that the simulator made"):
            open_wallet(SIMULATED, **options)  # type: ignore[arg-type]
    with pytest.raises(WalletError, match="your own key"):
        open_wallet(SIMULATED, simulated_key=Secret(HEX))


def test_the_simulators_key_is_refused_on_a_real_network() -> None:
    with pytest.raises(WalletError, match="not used on a real network"):
        open_wallet(NETWORK, simulated_key=Secret(SIM))


@pytest.mark.parametrize(("of", "on"), [(NETWORK, SIMULATED), (SIMULATED, NETWORK)])
def test_a_wallet_signs_only_in_its_own_world(of: Network, on: Network) -> None:
    with pytest.raises(WalletError, match="is signed for with"):
        wallet(of).sign_permit(authorisation(), on, BOUNDS)
    with pytest.raises(WalletError, match="is signed for with"):
        wallet(of).sign_approval(on, amount=1, nonce=0, gas=1, max_fee=1, max_priority_fee=1)


# ----------------------------------------------------------------------------------------- keystore


def test_a_keystore_is_private_encrypted_and_opens_with_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "folder" / "keystore.json"
    address = create_keystore(path, password=Secret(PASSWORD), key=Secret(KEY), iterations=2)
    assert address == ADDRESS == keystore_address(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert HEX not in path.read_text()
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.setenv(keystore.PASSWORD_VARIABLE, PASSWORD)
    assert read_keystore(path).reveal() == KEY


def test_a_keystore_is_never_overwritten(home: Path) -> None:
    path = home / "keystore.json"
    create_keystore(path, password=Secret(PASSWORD), iterations=2)
    before = path.read_bytes()
    with pytest.raises(WalletError, match="not overwritten"):
        create_keystore(path, password=Secret(PASSWORD), iterations=2)
    assert path.read_bytes() == before
    assert list(home.iterdir()) == [path]


def test_a_wrong_password_is_refused_without_repeating_anything(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "keystore.json"
    create_keystore(path, password=Secret(PASSWORD), key=Secret(KEY), iterations=2)
    monkeypatch.setenv(keystore.PASSWORD_VARIABLE, "not the right one at all")
    with pytest.raises(WalletError, match="wrong password") as refused:
        read_keystore(path)
    assert "not the right one" not in shown_with_locals(refused.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "junk", "{}", '{"version": 3}', '{"crypto": {"kdf": "x"}, "version": 3}']
)
def test_a_file_that_is_no_keystore_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv(keystore.PASSWORD_VARIABLE, PASSWORD)
    path = home / "keystore.json"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(WalletError):
        read_keystore(path)


def test_a_keystore_that_others_can_read_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(keystore.PASSWORD_VARIABLE, PASSWORD)
    path = home / "keystore.json"
    create_keystore(path, password=Secret(PASSWORD), iterations=2)
    path.chmod(0o644)
    with pytest.raises(WalletError, match="chmod 600"):
        read_keystore(path)


def test_a_short_password_is_refused(home: Path) -> None:
    with pytest.raises(WalletError, match="at least 8"):
        create_keystore(password=Secret("1234567"))
    assert list(home.iterdir()) == []


def test_without_a_terminal_nothing_is_prompted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prompted(*args: object) -> str:
        raise AssertionError("a prompt without a terminal")

    create_keystore(password=Secret(PASSWORD), iterations=2)
    monkeypatch.setattr("getpass.getpass", prompted)
    for stdin in (None, io.StringIO(PASSWORD)):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(WalletError, match="no terminal to ask at"):
            open_wallet(NETWORK)


def test_on_a_terminal_the_password_is_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    address = create_keystore(password=Secret(PASSWORD), iterations=2)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *args: PASSWORD)
    assert open_wallet(NETWORK).address == address


# ------------------------------------------------------------------------------------------ keyring


class FakeKeyring:
    """A keyring of the kind that keeps secrets, in memory."""

    def __init__(self, **entries: str) -> None:
        self.entries = entries

    def get_password(self, service: str, account: str) -> str | None:
        assert (service, account) == (os_keyring.KEYRING_SERVICE, os_keyring.KEYRING_ACCOUNT)
        return self.entries.get(account)

    def set_password(self, service: str, account: str, password: str) -> None:
        self.entries[account] = password


def use_keyring(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    monkeypatch.setattr("keyring.get_keyring", lambda: backend)


def test_the_keyring_is_used_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    use_keyring(monkeypatch, FakeKeyring(wallet=HEX))
    with pytest.raises(WalletError, match="no wallet"):
        open_wallet(NETWORK)
    assert open_wallet(NETWORK, source="keyring").address == ADDRESS


def test_a_key_put_into_the_keyring_is_read_back_and_never_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_keyring(monkeypatch, FakeKeyring())
    with pytest.raises(WalletError, match="holds no key"):
        os_keyring.read_keyring()
    address = os_keyring.write_keyring()
    assert open_wallet(NETWORK, source="keyring").address == address
    with pytest.raises(WalletError, match="not overwritten"):
        os_keyring.write_keyring()


def _fail() -> Any:
    from keyring.backends.fail import Keyring

    return Keyring()


def _null() -> Any:
    from keyring.backends.null import Keyring

    return Keyring()


def _plaintext() -> Any:
    plain = type("PlaintextKeyring", (FakeKeyring,), {"__module__": "keyrings.alt.file"})
    return plain(wallet=HEX)


def _plaintext_elsewhere() -> Any:
    return type("MyPlainTextKeyring", (FakeKeyring,), {})(wallet=HEX)


def _chain(*members: Any) -> Any:
    return type(
        "ChainerBackend", (), {"__module__": "keyring.backends.chainer", "backends": members}
    )()


@pytest.mark.parametrize(
    "backend",
    [
        _fail,
        _null,
        _plaintext,
        _plaintext_elsewhere,
        lambda: _chain(),
        lambda: _chain(_fail(), _null(), _plaintext()),
    ],
)
def test_a_keyring_that_keeps_no_secrets_is_refused(
    monkeypatch: pytest.MonkeyPatch, backend: Callable[[], Any]
) -> None:
    use_keyring(monkeypatch, backend())
    for use in (os_keyring.read_keyring, os_keyring.write_keyring):
        with pytest.raises(WalletError, match="does not keep secrets"):
            use()


def test_of_a_chain_of_keyrings_only_one_that_keeps_secrets_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, good = _plaintext(), FakeKeyring(wallet=SIM)
    use_keyring(monkeypatch, _chain(plain, good))
    assert os_keyring.read_keyring().reveal().hex() == SIM


def test_a_keyring_that_waits_for_a_person_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = threading.Event()

    class Locked(FakeKeyring):
        def get_password(self, service: str, account: str) -> str | None:
            asked.wait()
            return None

    monkeypatch.setattr(os_keyring, "KEYRING_TIMEOUT", 0.05)
    use_keyring(monkeypatch, Locked())
    with pytest.raises(WalletError, match="did not answer"):
        os_keyring.read_keyring()
    asked.set()


def test_a_keyring_that_fails_says_so_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(FakeKeyring):
        def get_password(self, service: str, account: str) -> str | None:
            raise RuntimeError(HEX)

    use_keyring(monkeypatch, Broken())
    with pytest.raises(WalletError, match="refused \\(RuntimeError\\)") as refused:
        os_keyring.read_keyring()
    assert HEX not in shown_with_locals(refused.value)


# ---------------------------------------------------------------------------------------- attack 28


def shown_with_locals(error: BaseException) -> str:
    """The traceback with every frame's locals, of all errors that hang on this one."""
    shown: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None:
            # This test's own frames hold what they put in.
            trace = traceback.TracebackException.from_exception(one, capture_locals=True)
            for frame in trace.stack:
                if frame.filename != __file__:
                    shown += [str(frame.line), str(frame.locals)]
            shown.append(str(one))
            pending += [one.__cause__, one.__context__]
    return "\n".join(shown)


def has_key(text: str) -> bool:
    return HEX in text.lower() or repr(KEY) in text or str(int(HEX, 16)) in text


def test_attack_28_a_wallet_shows_its_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.KEY_VARIABLE, HEX)
    opened = open_wallet(NETWORK)
    assert repr(opened) == str(opened) == f"<Wallet {ADDRESS}>"
    slots = [repr(getattr(opened, name)) for name in Wallet.__slots__]
    assert not has_key(" ".join([*slots, json.dumps(slots)]))
    with pytest.raises(TypeError):
        pickle.dumps(opened)
    with pytest.raises(TypeError):
        copy.deepcopy(opened)


def test_attack_28_no_error_of_the_wallet_carries_the_key(
    monkeypatch: pytest.MonkeyPatch, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(keys.KEY_VARIABLE, HEX)
    opened = open_wallet(NETWORK)

    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError(f"bad key {HEX}")

    errors: list[BaseException] = []
    for name in ("sign_message", "sign_transaction", "encrypt", "from_key"):
        with monkeypatch.context() as patch:
            patch.setattr(f"eth_account.Account.{name}", broken)
            for act in (
                lambda: opened.sign_permit(authorisation(), NETWORK, BOUNDS, clock=lambda: NOW),
                lambda: opened.sign_approval(
                    NETWORK, amount=1, nonce=0, gas=1, max_fee=1, max_priority_fee=1
                ),
                lambda: create_keystore(password=Secret(PASSWORD), key=Secret(KEY), iterations=2),
                lambda: open_wallet(NETWORK),
            ):
                try:
                    act()
                except WalletError as error:
                    errors.append(error)
        keystore = home / "keystore.json"
        keystore.unlink(missing_ok=True)
    assert len(errors) >= 4
    for error in errors:
        assert not has_key(shown_with_locals(error))
        assert PASSWORD not in shown_with_locals(error)
    assert not has_key(caplog.text)
