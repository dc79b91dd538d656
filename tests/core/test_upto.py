"""A host's session is joined only while its time and cap carry the call."""

from datetime import UTC, datetime, timedelta

import pytest

from opg_magic.models import Authorisation
from opg_magic.models.secret import Secret
from opg_magic.wallet.upto import Timing, UptoSession, UptoSessions, least_window

SIGNED = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
ADDRESS = "0x" + "11" * 20


def session(**changes):
    authorisation = Authorisation(
        chain_id=8453, payer=ADDRESS, token=ADDRESS, cap=10**17, spender=ADDRESS, nonce=7,
        deadline=int(SIGNED.timestamp()) + 300, pay_to=ADDRESS, facilitator=ADDRESS, valid_after=0,
    )  # fmt: skip
    values = {
        "tee_id": "0xaa",
        "path": "/v1/chat/completions",
        "session_id": Secret("s"),
        "last_used": SIGNED,
    }
    return UptoSession(authorisation=authorisation, **(values | changes))


def at(seconds):
    return SIGNED + timedelta(seconds=seconds)


def test_the_last_answer_ends_165_seconds_after_signing():
    assert session().answer_by == at(165)
    assert session().window(at(0)) == 165
    assert session(last_used=at(160)).window(at(164)) == 1
    assert session(last_used=at(160)).window(at(166)) == 0


@pytest.mark.parametrize(
    ("idle", "signed", "answer_by", "left_alone_after"),
    [
        (100, 300, 165, 85),
        (60, 300, 205, 51),
        (100, 600, 465, 85),
        (100, 900, 765, 85),
        (20, 60, 5, 17),
    ],
)
def test_the_times_of_a_session_follow_from_what_was_signed_and_how_long_hosts_wait(
    idle, signed, answer_by, left_alone_after
):
    timing = Timing(idle)
    assert timing.answer_by(at(signed)) == at(answer_by)
    assert timing.join_within == left_alone_after
    # The latest settlement of a last answer that ended in time: idle, then seen up to 25 s later, 6
    # s before the end.
    assert answer_by + idle + 25 <= signed - 6
    assert session(timing=timing, last_used=at(0)).window(at(left_alone_after + 1)) == 0


def test_a_users_own_timeout_is_given_in_full():
    assert least_window(120, timeout_is_users=True) == 120
    assert least_window(120, timeout_is_users=False) == 45
    assert least_window(10, timeout_is_users=False) == 10


@pytest.mark.parametrize(
    ("start", "timeout", "users", "carried"),
    [
        (10, 120, True, True),
        (45, 120, True, True),
        (46, 120, True, False),
        (46, 120, False, True),
        (119, 120, False, True),
        (120, 120, False, True),
        (121, 120, False, False),
        (121, 30, False, True),
    ],
)
def test_no_call_starts_that_its_deadline_could_not_carry(start, timeout, users, carried):
    joined = session(last_used=at(start - 5))
    assert (
        joined.carries(at(start), timeout=timeout, timeout_is_users=users, worst_cost=None)
        is carried
    )


def test_an_idle_session_is_left_alone():
    assert session(last_used=at(0)).window(at(85)) > 0
    assert session(last_used=at(0)).window(at(86)) == 0


@pytest.mark.parametrize(
    ("spent", "worst", "carried"), [(0, 10**17, True), (1, 10**17, False), (10**17, None, False)]
)
def test_the_worst_cost_fits_into_what_is_left_of_the_cap(spent, worst, carried):
    assert (
        session(spent=spent).carries(at(1), timeout=60, timeout_is_users=True, worst_cost=worst)
        is carried
    )


def test_attack_28_a_session_shows_no_id():
    assert "'s'" not in repr(session(session_id=Secret("spending-secret")))
    assert "spending-secret" not in repr(session(session_id=Secret("spending-secret")))


def test_dropping_an_old_session_keeps_the_newer_one():
    sessions = UptoSessions()
    old, new = session(), session(spent=1)
    sessions.put(old)
    sessions.put(new)
    sessions.drop(old)
    assert sessions.of("0xaa", "/v1/chat/completions") == (new,)
    sessions.drop(new)
    assert list(sessions) == []
