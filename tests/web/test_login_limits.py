"""Limits on failed logins: by address and by account, without locking out others."""

from datetime import timedelta

from tests.conftest import NOW
from web.login_limits import MAX_KEPT, MAX_OF_ACCOUNT, MAX_OF_ADDRESS, WITHIN, LoginLimits

SECOND = timedelta(seconds=1)


def test_an_address_waits_after_so_many_failures_and_others_do_not() -> None:
    limits = LoginLimits()
    for n in range(MAX_OF_ADDRESS):
        assert limits.wait("10.0.0.9", "ann", set(), NOW + n * SECOND) is None
        limits.attempted("10.0.0.9", f"user{n}", NOW + n * SECOND)
    now = NOW + MAX_OF_ADDRESS * SECOND
    assert limits.wait("10.0.0.9", "ann", set(), now) == WITHIN - MAX_OF_ADDRESS * SECOND
    assert limits.wait("10.0.0.1", "ann", set(), now) is None
    assert limits.wait("10.0.0.9", "ann", set(), NOW + WITHIN) is None


def test_guesses_from_many_addresses_do_not_lock_out_the_owner() -> None:
    limits = LoginLimits()
    for n in range(MAX_OF_ACCOUNT):
        limits.attempted(f"10.1.0.{n}", "ann", NOW)
    assert limits.wait("10.2.0.1", "ann", set(), NOW) == WITHIN
    assert limits.wait("10.2.0.1", "ann", {"10.2.0.1"}, NOW) is None
    assert limits.wait("10.2.0.1", "bob", set(), NOW) is None


def test_a_login_forgets_the_failures_of_its_address_and_counts_none_of_the_account() -> None:
    limits = LoginLimits()
    for _ in range(MAX_OF_ACCOUNT):
        limits.attempted("10.0.0.9", "ann", NOW)
    assert limits.wait("10.0.0.1", "ann", set(), NOW) == WITHIN
    limits.succeeded("10.0.0.9", "ann")
    assert limits.wait("10.0.0.9", "bob", set(), NOW) is None
    assert limits.wait("10.0.0.1", "ann", set(), NOW) is None
    limits.attempted("10.0.0.9", "ann", NOW)
    assert limits.wait("10.0.0.1", "ann", set(), NOW) == WITHIN


def test_what_is_kept_is_bounded_and_the_newest_stays() -> None:
    limits = LoginLimits()
    for n in range(MAX_KEPT + 5):
        limits.attempted(f"{n}", "ann", NOW)
    assert len(limits._failures) == MAX_KEPT
    for _ in range(MAX_OF_ADDRESS):
        limits.attempted("last", "ann", NOW)
    assert limits.wait("last", "bob", set(), NOW) == WITHIN
