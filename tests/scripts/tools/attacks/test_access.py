"""The attacks on access, against a site in this process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.tools.attacks import access
from scripts.tools.attacks.attack import Attack, Instance
from storage.config.api_keys import create_key
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.web.raw_site import serving


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    monkeypatch.setattr(access, "WRONG_KEYS", 5)  # of 200, which take long
    folders = Folders.at(tmp_path).create()
    with serving(tmp_path) as port:
        yield Instance(f"http://127.0.0.1:{port}", folders, {}, tmp_path, os.getpid())


@pytest.mark.parametrize("attack", access.ATTACKS, ids=lambda attack: attack.name)
def test_a_site_with_keys_holds(instance: Instance, attack: Attack) -> None:
    create_key(instance.folders, "me", ["admin"], NOW)
    answer = attack.play(instance)
    assert answer.held, answer.text


def test_an_open_site_is_seen_as_open(instance: Instance) -> None:
    answer = access._local_without_key(instance)
    assert not answer.held
    assert "200" in answer.text
