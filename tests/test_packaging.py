"""What a user gets who installs the package and not the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> set[str]:
    """The names in the wheel."""
    with zipfile.ZipFile(wheel_file) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "Procfile",
        "storage/sql/rollup.sql",
        "storage/sql/views/forecast_latest.sql",
        "web/templates/fleet.html",
        "web/static/vendor/uplot-1.6.32.iife.min.js",
        "model_export/shipped/tft.onnx",
    ],
)
def test_what_the_running_system_reads_travels_along(wheel: set[str], name: str) -> None:
    assert f"_hoursight/{name}" in wheel


def test_nothing_but_our_own_name_appears_among_other_peoples_packages(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == {"_hoursight", "hoursight", "hoursight.pth"}


@pytest.mark.parametrize("package", ["hoursight", "_hoursight/functions", "_hoursight/storage"])
def test_type_checkers_read_the_public_door_and_what_it_leads_to(
    wheel: set[str], package: str
) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= wheel


def test_the_shipped_model_is_small() -> None:
    shipped = ROOT / "model_export" / "shipped"
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= 5_000_000


INSTALLED = """
import site, sys
checkout, target, data = sys.argv[1:]
sys.path[:] = [path for path in sys.path if path != checkout]
site.addsitedir(target)
import hoursight
hoursight.connect(data).close()
import storage
print(hoursight.__file__, storage.__file__)
"""


def test_what_is_installed_connects_where_a_storage_of_the_users_stands(
    wheel_file: Path, tmp_path: Path, empty_lake: Path
) -> None:
    target = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel_file) as archive:
        archive.extractall(target)
    (tmp_path / "storage.py").write_text("raise SystemExit('the wrong module')")
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, str(ROOT), str(target), str(empty_lake)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [
        f"{target}/hoursight.py", f"{target}/_hoursight/storage/__init__.py",
    ], done.stderr  # fmt: skip
