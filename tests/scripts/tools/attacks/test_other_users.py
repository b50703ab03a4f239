from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.tools.attacks.attack import Instance
from scripts.tools.attacks.other_users import leave_a_password, read_and_lock
from storage.config.folders import Folders


class Careless(Instance):
    """An instance that logs the URL of each request."""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        (self.folders.data / "log").write_text(f"{method} {path} {body!r} {headers}")
        return 204, ""


class Careful(Instance):
    """An instance that keeps nothing of a request."""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        assert (method, headers) == ("POST", {"X-API-Key": "k"})
        assert body.startswith(b"cpu,host=attacked ")
        return 204, path


def instance(kind: type[Instance], data: Path) -> Instance:
    return kind("http://127.0.0.1:1", Folders.at(data).create(), {"feed": "k"}, data, 1)


@pytest.mark.parametrize(("mode", "held"), [(0o700, True), (0o755, False)])
def test_a_data_folder_that_others_can_enter_is_not_held(
    tmp_path: Path, mode: int, held: bool
) -> None:
    attacked = instance(Careful, tmp_path / "var")
    attacked.folders.data.chmod(mode)
    assert read_and_lock(attacked).held is held


@pytest.mark.parametrize(("kind", "held"), [(Careful, True), (Careless, False)])
def test_a_password_that_is_stored_is_found(
    tmp_path: Path, kind: type[Instance], held: bool
) -> None:
    answer = leave_a_password(instance(kind, tmp_path / "var"))
    assert answer.held is held
    assert answer.text == f"status 204, the password is in {int(not held)} files"
