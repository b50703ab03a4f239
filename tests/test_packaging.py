"""What a user gets who installs the package and not the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
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
