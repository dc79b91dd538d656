"""The ledger reserves before anything can spend, keeps everything, and never changes a row."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.receipts import NOW, SIM, authorisation, failed_receipt, receipt, verdict

from opg_magic.errors import LedgerError, LimitExceeded
from opg_magic.ledger.store import CallIntent, Ledger, network_key
from opg_magic.models import Charge, VerdictStatus
from opg_magic.models.networks import Network
from opg_magic.network.profiles import OBSERVED_CAP, OPENGRADIENT, simulated
from opg_magic.receipt.document import Receipt, new_id
from opg_magic.settings import paths
from opg_magic.settings.limits import Limits

CAP = OBSERVED_CAP
WIDE = Limits(CAP, 10**24, 10**24)


@pytest.fixture
def now() -> list[datetime]:
    return [NOW]


@pytest.fixture
def ledger(tmp_path: Path, now: list[datetime]) -> Ledger:
    return Ledger(tmp_path / "data" / "ledger.sqlite", clock=lambda: now[0])


def intent(
    nonce: int | None = None,
    *,
    kernel: str = "k1",
    network: Network = SIM,
    deadline: int | None = None,
) -> CallIntent:
    covered = authorisation(nonce, deadline=deadline) if nonce is not None else None
    return CallIntent(
        new_id(),
        NOW,
        network,
        kernel,
        "openai/gpt-5",
        notebook="n.ipynb",
        prompt="p",
        authorisation=covered,
    )


def reserve(ledger: Ledger, nonce: int, limits: Limits = WIDE, **kwargs: object) -> CallIntent:
    made = intent(nonce, **kwargs)  # type: ignore[arg-type]
    ledger.begin(made, reserve=True, limits=limits)
    return made


# ------------------------------------------------------------------------------------------- limits


def test_new_authorisation_reserves_its_whole_cap_against_kernel_and_day(ledger: Ledger) -> None:
    reserve(ledger, 1)
    reserve(ledger, 2, kernel="k2")
    spent = ledger.spending(SIM, "k1")
    assert (spent.kernel_reserved, spent.day_reserved) == (CAP, 2 * CAP)


def test_cap_over_the_limit_per_call_names_both_figures_and_writes_nothing(ledger: Ledger) -> None:
    with pytest.raises(
        LimitExceeded, match=r"0\.1 sim-OPG.*limit per call is 0\.05 sim-OPG"
    ) as raised:
        reserve(ledger, 1, Limits(CAP // 2, 10 * CAP, 10 * CAP))
    assert "Nothing was signed" in str(raised.value)
    assert "opg config max_cost_per_call 0.1" in str(raised.value)
    assert ledger.rows() == []
    assert ledger.open_authorisations() == []


def test_limit_per_kernel_counts_this_kernel_alone(ledger: Ledger) -> None:
    limits = Limits(CAP, 2 * CAP, 100 * CAP)
    reserve(ledger, 1, limits)
    reserve(ledger, 2, limits)
    reserve(ledger, 3, limits, kernel="k2")
    with pytest.raises(
        LimitExceeded, match=r"limit per kernel is 0\.2 sim-OPG, of which 0\.2 sim-OPG"
    ):
        reserve(ledger, 4, limits)


def test_limit_per_day_counts_all_kernels_and_ends_with_the_day(
    ledger: Ledger, now: list[datetime]
) -> None:
    limits = Limits(CAP, 2 * CAP, 2 * CAP)
    reserve(ledger, 1, limits)
    reserve(ledger, 2, limits, kernel="k2")
    with pytest.raises(LimitExceeded, match="per UTC day, over all kernels"):
        reserve(ledger, 3, limits, kernel="k3")
    now[0] += timedelta(days=1)
    reserve(ledger, 4, limits, kernel="k3")


def test_authorisation_that_can_be_spent_after_midnight_counts_for_both_days(
    ledger: Ledger, now: list[datetime]
) -> None:
    now[0] = datetime(2026, 11, 20, 23, 58, tzinfo=UTC)
    deadline = int(now[0].timestamp()) + 300
    limits = Limits(CAP, 10 * CAP, CAP)
    reserve(ledger, 1, limits, deadline=deadline)
    now[0] += timedelta(minutes=3)
    with pytest.raises(LimitExceeded):
        reserve(ledger, 2, limits, deadline=deadline + 180)


def test_clock_that_was_set_back_frees_nothing(ledger: Ledger, now: list[datetime]) -> None:
    limits = Limits(CAP, 10 * CAP, CAP)
    now[0] += timedelta(days=2)
    reserve(ledger, 1, limits)
    now[0] -= timedelta(days=2)
    with pytest.raises(LimitExceeded):
        reserve(ledger, 2, limits)


@pytest.mark.parametrize("limits", [Limits(0, CAP, CAP), Limits(CAP, 0, CAP), Limits(CAP, CAP, 0)])
def test_limit_of_zero_means_that_nothing_may_be_spent(ledger: Ledger, limits: Limits) -> None:
    with pytest.raises(LimitExceeded):
        reserve(ledger, 1, limits)


@pytest.mark.parametrize(
    "limits", [Limits(0, 9 * CAP, 9 * CAP), Limits(CAP, 0, 9 * CAP), Limits(CAP, 9 * CAP, CAP - 1)]
)
def test_limits_lowered_later_hold_for_a_call_that_joins_an_authorisation(
    ledger: Ledger, limits: Limits
) -> None:
    reserve(ledger, 1)
    with pytest.raises(LimitExceeded, match=r"this one included|limit per call"):
        ledger.begin(intent(1), reserve=False, limits=limits)
    ledger.begin(intent(1), reserve=False, limits=Limits(CAP, CAP, CAP))


def test_joining_reserves_nothing_more(ledger: Ledger) -> None:
    reserve(ledger, 1)
    for _ in range(3):
        ledger.begin(intent(1), reserve=False, limits=WIDE)
    assert ledger.spending(SIM, "k1").kernel_reserved == CAP
    (found,) = ledger.open_authorisations()
    assert len(found.calls) == 4
    assert found.authorisation == authorisation(1)


@pytest.mark.parametrize("other", [{"kernel": "k2"}, {"network": OPENGRADIENT}])
def test_authorisation_of_another_kernel_or_network_cannot_be_joined(
    ledger: Ledger, other: dict[str, object]
) -> None:
    reserve(ledger, 1)
    with pytest.raises(LedgerError, match="did not reserve"):
        ledger.begin(intent(1, **other), reserve=False, limits=WIDE)  # type: ignore[arg-type]


def test_unknown_and_settled_authorisations_cannot_be_joined(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.begin(intent(1), reserve=False, limits=WIDE)
    reserve(ledger, 2)
    ledger.release(2, 5)
    with pytest.raises(LedgerError, match="settled"):
        ledger.begin(intent(2), reserve=False, limits=WIDE)


def test_nonce_is_reserved_once(ledger: Ledger) -> None:
    reserve(ledger, 1)
    with pytest.raises(LedgerError, match="nonce must be new"):
        reserve(ledger, 1)


def test_what_can_spend_needs_limits(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="limits"):
        ledger.begin(intent(1), reserve=True)


def test_networks_have_sums_of_their_own(ledger: Ledger) -> None:
    again = simulated(
        registry_rpc="http://x",
        payment_rpc="http://y",
        facilitator="0xfa",
        run_id="run-2",
        root_sha256="ab" * 32,
    )
    limits = Limits(CAP, CAP, CAP)
    for nonce, network in enumerate((SIM, again, OPENGRADIENT)):
        reserve(ledger, nonce, limits, network=network)
    assert [network_key(n) for n in (SIM, again, OPENGRADIENT)] == [
        "sim:run-1",
        "sim:run-2",
        "opengradient",
    ]
    with pytest.raises(LimitExceeded):
        reserve(ledger, 9, limits, network=OPENGRADIENT)


def test_two_threads_never_overstep_a_limit_together(tmp_path: Path) -> None:
    limits = Limits(CAP, 100 * CAP, 5 * CAP)
    outcomes: list[str] = []

    def work(kernel: str) -> None:
        with Ledger(tmp_path / "ledger.sqlite") as mine:
            for number in range(5):
                nonce = hash((kernel, number)) & (2**60 - 1)
                try:
                    reserve(mine, nonce, limits, kernel=kernel)
                    outcomes.append("reserved")
                except LimitExceeded:
                    outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(f"k{n}",)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert outcomes.count("reserved") == 5
    assert outcomes.count("refused") == 15


# ------------------------------------------------------------------------------------------ release


def test_release_lowers_a_reservation_to_what_was_taken(ledger: Ledger) -> None:
    reserve(ledger, 1)
    ledger.release(authorisation(1), 4 * 10**15, {"transaction": "0x1"})
    assert ledger.spending(SIM, "k1").kernel_reserved == 4 * 10**15
    assert ledger.released(1) == 4 * 10**15
    assert ledger.open_authorisations() == []


def test_reservation_never_rises(ledger: Ledger) -> None:
    reserve(ledger, 1)
    ledger.release(1, 10)
    ledger.release(1, 10)
    for amount in (11, CAP + 1, -1):
        with pytest.raises(LedgerError, match="only be lowered"):
            ledger.release(1, amount)
    ledger.release(1, 0)
    assert ledger.released(1) == 0


def test_release_of_an_unknown_nonce_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.release(77, 0)


def test_amounts_beyond_64_bits_are_exact(ledger: Ledger) -> None:
    cap = 2**250 + 1
    wide = Limits(2**255, 2**255, 2**255)
    for nonce in (1, 2):
        made = CallIntent(new_id(), NOW, SIM, "k1", "m", authorisation=authorisation(nonce, cap))
        ledger.begin(made, reserve=True, limits=wide)
    assert ledger.spending(SIM, "k1").day_reserved == 2 * cap


# ----------------------------------------------------------------------------------------- receipts


def test_receipt_comes_back_exactly_and_shared_bytes_are_stored_once(ledger: Ledger) -> None:
    saved = [receipt(text=f"prompt {n}") for n in range(5)]
    for one in saved:
        ledger.save(one)
    assert [ledger.get(one.id) for one in saved] == saved
    assert all(ledger.get(one.id).digest_matches for one in saved)
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        assert (
            db.execute("SELECT count(*) FROM blobs").fetchone()[0] == 3
        )  # key, certificate, attestation
        assert db.execute("SELECT max(length(document)) FROM receipts").fetchone()[0] < 8_000


def test_attack_14_a_signature_given_to_two_kernels_in_one_instant_is_seen_by_one_of_them(
    tmp_path: Path,
) -> None:
    """What one looks up and what it then saves is one transaction: the other looks either before
    both or after both."""
    path = tmp_path / "home" / "ledger.sqlite"
    replayed = [receipt(text="one"), receipt(text="two")]
    replayed[1].document["response"]["frame"] = replayed[0].document["response"]["frame"]
    replayed[1].document["digest"] = replayed[1].computed_digest
    replayed[1] = Receipt.from_document(replayed[1].document)
    looked = threading.Event()
    seen: dict[str, tuple[str, ...]] = {}

    def first() -> None:
        with Ledger(path) as ledger, ledger.exclusively():
            seen[replayed[0].id] = ledger.find_signature(replayed[0].signature)
            looked.set()
            other.join(0.5)  # it waits for the lock, and so does not end
            ledger.save(replayed[0])

    def second() -> None:
        with Ledger(path) as ledger:
            looked.wait()
            with ledger.exclusively():
                seen[replayed[1].id] = ledger.find_signature(replayed[1].signature)
                ledger.save(replayed[1])

    other = threading.Thread(target=second)
    # The one that waits comes first: only what has begun can be waited for.
    threads = [other, threading.Thread(target=first)]
    Ledger(path).count()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replayed[0].signature == replayed[1].signature
    assert seen == {replayed[0].id: (), replayed[1].id: (replayed[0].id,)}


def test_what_fails_inside_of_an_exclusive_transaction_leaves_nothing(ledger: Ledger) -> None:
    one = receipt()
    with pytest.raises(ZeroDivisionError), ledger.exclusively():
        ledger.save(one)
        raise ZeroDivisionError
    assert ledger.count() == 0
    ledger.save(one)
    assert ledger.count() == 1


def test_failed_and_withheld_calls_are_kept(ledger: Ledger) -> None:
    for one in (failed_receipt(), receipt(verdict=verdict(VerdictStatus.FAILED))):
        ledger.save(one)
        assert ledger.get(one.id) == one
    assert ledger.count() == 2


def test_receipt_is_found_by_an_unambiguous_beginning(ledger: Ledger) -> None:
    first, second = receipt(id="7Q4K2M0000"), receipt(id="7Q4K9X0000")
    ledger.save(first)
    ledger.save(second)
    assert ledger.get("7q4k-2") == first
    with pytest.raises(LedgerError, match="7Q4K9X0000, 7Q4K2M0000"):
        ledger.get("7Q4K")
    for absent in ("9", "", "%", "'; DROP TABLE receipts"):
        with pytest.raises(LedgerError):
            ledger.get(absent)


def test_last_is_the_last_of_a_kernel_or_of_all(ledger: Ledger) -> None:
    assert ledger.last() is None
    mine, theirs = receipt(kernel="k1"), receipt(kernel="k2")
    ledger.save(mine)
    ledger.save(theirs)
    assert ledger.last() == theirs
    assert ledger.last("k1") == mine
    assert ledger.last("k3") is None


def test_saving_again_changes_nothing_and_another_under_the_id_is_refused(ledger: Ledger) -> None:
    one = receipt()
    ledger.save(one)
    ledger.save(one)
    with pytest.raises(LedgerError, match="never changed"):
        ledger.save(receipt(id=one.id, text="another"))
    assert ledger.get(one.id) == one
    assert ledger.count() == 1


@pytest.mark.parametrize(
    "table", ["calls", "authorisations", "releases", "events", "blobs", "receipts"]
)
@pytest.mark.parametrize(
    "how",
    [
        "UPDATE {t} SET rowid = rowid + 1",
        "DELETE FROM {t}",
        "INSERT OR REPLACE INTO {t} SELECT * FROM {t}",
    ],
)
def test_no_row_is_ever_changed_or_deleted(ledger: Ledger, table: str, how: str) -> None:
    made = reserve(ledger, 1)
    ledger.record(made.id, "sent")
    ledger.release(1, 5)
    ledger.save(receipt(id=made.id))
    ledger.close()
    with (
        sqlite3.connect(ledger.path) as db,
        pytest.raises(sqlite3.DatabaseError, match="append-only"),
    ):
        db.execute(how.format(t=table))


# ------------------------------------------------------------------------------------ crash and end


def test_call_without_an_end_is_unfinished_and_its_charge_unknown(ledger: Ledger) -> None:
    made = reserve(ledger, 1)
    ledger.record(made.id, "sent", {"bytes": 12})
    assert ledger.unfinished() == []  # this process still runs
    (found,) = ledger.unfinished(include_running=True)
    assert (found.call.id, found.events, found.running, found.charge) == (
        made.id,
        ("sent",),
        True,
        Charge.UNKNOWN,
    )
    assert found.call.authorisation == authorisation(1)
    ledger.save(receipt(id=made.id))
    assert ledger.unfinished(include_running=True) == []


@pytest.mark.parametrize("ending", ["not-sent", "session-gone", "ended"])
def test_ending_event_ends_a_call_without_receipt(ledger: Ledger, ending: str) -> None:
    made = reserve(ledger, 1)
    ledger.record(made.id, ending, {"reason": "no route"})
    assert ledger.unfinished(include_running=True) == []
    rows = ledger.rows()
    assert [r.id for r in rows] == ([] if ending == "session-gone" else [made.id])
    assert all(
        r.call is not None and r.call.charge is Charge.NONE and r.call.reason == "no route"
        for r in rows
    )


def test_event_of_an_unknown_call_and_a_second_beginning_are_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.record(new_id(), "sent")
    made = intent()
    ledger.begin(made, reserve=False)
    with pytest.raises(LedgerError, match="already begun"):
        ledger.begin(made, reserve=False)


# ----------------------------------------------------------------------------------------- the file


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_file_is_for_its_owner_alone(opg_home: Path) -> None:
    before = os.umask(0o022)
    try:
        ledger = Ledger()
        reserve(ledger, 1)
        assert stat.S_IMODE(opg_home.stat().st_mode) == 0o700
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in opg_home.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(
        ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 0o600
    )


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_wider_permissions_are_narrowed(opg_home: Path) -> None:
    opg_home.mkdir(mode=0o755)
    file = paths.ledger_file()
    file.touch(mode=0o644)
    file.chmod(0o644)
    Ledger(file).count()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(opg_home.stat().st_mode) == 0o700


def test_ledger_survives_reopening(ledger: Ledger, tmp_path: Path) -> None:
    made = reserve(ledger, 1)
    ledger.save(receipt(id=made.id))
    ledger.close()
    again = Ledger(ledger.path)
    assert again.get(made.id).id == made.id
    assert again.findings() == []


def test_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LedgerError, match="another program"):
        Ledger(path).count()


def test_ledger_of_a_newer_version_asks_for_an_update(ledger: Ledger) -> None:
    ledger.count()
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="Update opg_magic"):
        Ledger(ledger.path).count()


def test_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(LedgerError, match=r"damaged.*\n.*opg ledger rescue"):
        Ledger(path).count()


def test_altered_receipt_in_the_file_is_noticed(ledger: Ledger) -> None:
    one = receipt()
    ledger.save(one)
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("DROP TRIGGER blobs_no_update")
        db.execute("UPDATE blobs SET content = x'00'")
    again = Ledger(ledger.path)
    for use in (lambda: again.get(one.id), again.last):
        with pytest.raises(LedgerError, match="is damaged: "):
            use()
    assert any(found.startswith(f"Receipt {one.id}: ") for found in again.findings())


def test_locked_file_says_what_to_do(ledger: Ledger) -> None:
    ledger.count()
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    impatient = Ledger(ledger.path, timeout=0.05)
    with pytest.raises(LedgerError, match="locked"):
        reserve(impatient, 1)
    other.execute("ROLLBACK")
    other.close()
    reserve(impatient, 1)


def test_full_disk_is_said_and_writes_nothing(ledger: Ledger) -> None:
    reserve(ledger, 1)
    db = ledger._db()
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(LedgerError, match="no room left"):
        for _ in range(50):
            ledger.save(receipt())
    again = Ledger(ledger.path)
    assert again.findings() == []
    assert len(again.open_authorisations()) == 1


def test_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(tmp_path / "file" / "ledger.sqlite").count()
