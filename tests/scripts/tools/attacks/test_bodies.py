"""Attacks by bodies: what is sent, and when the system held."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.tools.attacks.attack import Instance
from scripts.tools.attacks.bodies import ATTACKS
from storage.config.folders import Folders

LARGEST = 16 << 20  # of a body that the site takes
BY_NAME = {attack.name: attack for attack in ATTACKS}


class _Door(Instance):
    """An instance that answers each push with one status, or not at all."""

    def answer_with(self, status: int | None) -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "sizes", [])

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        assert method == "POST"
        assert (headers or {})["X-API-Key"] == "k"
        self.sizes.append(len(body))  # type: ignore[attr-defined]
        if self.status is None:  # type: ignore[attr-defined]
            raise TimeoutError
        return self.status, path  # type: ignore[attr-defined]


@pytest.mark.parametrize(("status", "held"), [(400, True), (413, True), (None, False)])
@pytest.mark.parametrize("name", ["one open quote", "digits before a letter"])
def test_the_system_held_when_it_answered(
    name: str, status: int | None, held: bool, tmp_path: Path
) -> None:
    door = _Door("", Folders.at(tmp_path), {"feed": "k"}, tmp_path, 0)
    door.answer_with(status)
    answer = BY_NAME[name].play(door)
    assert answer.held == held
    assert str(status if held else "TimeoutError") in answer.text
    assert 0 < door.sizes[0] < LARGEST  # type: ignore[attr-defined]
