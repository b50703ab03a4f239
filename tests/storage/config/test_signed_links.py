import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.config.folders import Folders
from storage.config.signed_links import LinkInvalid, LinkUsed, SignedLinks

NOW = datetime(2026, 5, 6, 3, 0, tzinfo=UTC)


@pytest.fixture
def links(tmp_path: Path) -> SignedLinks:
    return SignedLinks(Folders.at(tmp_path))


def test_a_token_says_what_it_is_for_and_fits_into_a_url(links: SignedLinks) -> None:
    token = links.token("e/1", "on call", NOW)
    claim = links.claim(token, NOW)
    assert (claim.episode, claim.channel) == ("e/1", "on call")
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert links.token("e/1", "on call", NOW + timedelta(hours=1)) == token


def test_its_key_is_private_and_stays(links: SignedLinks) -> None:
    token = links.token("e1", "hook", NOW)
    assert stat.S_IMODE(links.folders.link_key.stat().st_mode) == 0o600
    again = SignedLinks(links.folders)
    assert again.token("e1", "hook", NOW) == token
    assert os.listdir(links.folders.data) == ["link.key"]


@given(st.data())
def test_no_changed_token_is_valid(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    links = SignedLinks(Folders.at(tmp_path_factory.getbasetemp() / "links"))
    token = links.token("e1", "hook", NOW)
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.characters()) + token[at + 1 :]
    same_bits = at in (token.index(".") - 1, len(token) - 1)  # of which base64 drops some
    if changed != token and not same_bits:
        with pytest.raises(LinkInvalid):
            links.claim(changed, NOW)


@pytest.mark.parametrize("token", ["", ".", "a.b", "é", "A" * 5000, "AAAA.AAAA"])
def test_what_is_not_a_token_is_not_valid(links: SignedLinks, token: str) -> None:
    with pytest.raises(LinkInvalid, match="this link is not valid"):
        links.claim(token, NOW)
    links.token("e1", "hook", NOW)
    with pytest.raises(LinkInvalid, match="this link is not valid"):
        links.claim(token, NOW)


def test_a_token_of_another_key_is_not_valid(links: SignedLinks, tmp_path: Path) -> None:
    other = SignedLinks(Folders.at(tmp_path / "other"))
    links.token("e1", "hook", NOW)
    with pytest.raises(LinkInvalid):
        links.claim(other.token("e1", "hook", NOW), NOW)


def test_a_token_ends_after_two_to_three_days(links: SignedLinks) -> None:
    token = links.token("e1", "hook", NOW)
    assert links.claim(token, NOW + timedelta(hours=48))
    with pytest.raises(LinkInvalid, match="this link is too old"):
        links.claim(token, NOW + timedelta(hours=72))


def test_a_link_acts_once_for_each_act(links: SignedLinks) -> None:
    claim = links.claim(links.token("e1", "hook", NOW), NOW)
    links.begin(claim, "acknowledged")
    with pytest.raises(LinkUsed):
        links.begin(claim, "acknowledged")
    links.finish(claim, "acknowledged")
    with pytest.raises(LinkUsed, match="this link was used already"):
        links.begin(claim, "acknowledged")
    links.begin(claim, "acting")
    assert links.is_used(claim, "acting")


def test_an_act_that_failed_or_was_cut_off_may_be_tried_again(links: SignedLinks) -> None:
    claim = links.claim(links.token("e1", "hook", NOW), NOW)
    links.begin(claim, "acting")
    links.undo(claim, "acting")
    links.begin(claim, "acting")
    (begun,) = links.folders.used_links.iterdir()
    os.utime(begun, (begun.stat().st_mtime - 3600,) * 2)
    links.begin(claim, "acting")


def test_files_of_links_that_have_ended_are_removed(links: SignedLinks) -> None:
    claim = links.claim(links.token("e1", "hook", NOW), NOW)
    links.begin(claim, "acting")
    links.finish(claim, "acting")
    links.forget(datetime.now(UTC) + timedelta(days=3))
    assert links.is_used(claim, "acting")
    links.forget(datetime.now(UTC) + timedelta(days=5))
    assert not links.is_used(claim, "acting")
