"""What a user gets who installs the package and not the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.ports import free_port
from tests.start_scenes import crowd, running

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
        "README.md",
        "docs/sources.md",
        "docs/fleet.png",
        "web/templates/fleet.html",
        "web/static/vendor/uplot-1.6.32.iife.min.js",
        "model_export/shipped/tft.onnx",
    ],
)
def test_what_the_running_system_reads_travels_along(wheel: set[str], name: str) -> None:
    assert f"_hoursight/{name}" in wheel


def test_developers_tools_are_not_installed(wheel: set[str]) -> None:
    scripts = {name for name in wheel if name.startswith("_hoursight/scripts/")}
    assert "_hoursight/scripts/mongod.py" in scripts  # `hoursight demo --mongodb` starts one
    assert not [name for name in scripts if name.startswith("_hoursight/scripts/tools/")]
    assert not scripts & {"_hoursight/scripts/test", "_hoursight/scripts/demo"}


def test_nothing_but_our_own_name_appears_among_other_peoples_packages(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == {"_hoursight", "hoursight", "hoursight.pth"}


def test_an_editable_install_copies_no_module_of_the_checkout(tmp_path: Path) -> None:
    build = "from hatchling.build import build_editable; import sys; build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == {"_hoursight.pth", "hoursight.pth"}
        assert archive.read("_hoursight.pth").decode().split() == [str(ROOT)]


@pytest.mark.parametrize("package", ["hoursight", "_hoursight/functions", "_hoursight/storage"])
def test_type_checkers_read_the_public_door_and_what_it_leads_to(
    wheel: set[str], package: str
) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= wheel


def test_the_shipped_model_is_small() -> None:
    shipped = ROOT / "model_export" / "shipped"
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= 5_000_000


@pytest.fixture(scope="module")
def installed(wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages in which the wheel is installed."""
    target = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel_file) as archive:
        archive.extractall(target)
    return target


CONNECT = """
import site, sys
checkout, target, data = sys.argv[1:]
sys.path[:] = [path for path in sys.path if path != checkout]
site.addsitedir(target)
import hoursight
hoursight.connect(data).close()
for name in hoursight.__all__:
    getattr(hoursight, name)
print(hoursight.__file__)
for room in ("storage", "functions"):
    print(sys.modules[room].__file__)
"""


def test_what_is_installed_has_every_public_name_where_a_storage_of_the_users_stands(
    installed: Path, tmp_path: Path, empty_lake: Path
) -> None:
    (tmp_path / "storage.py").write_text("raise SystemExit('the wrong module')")
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, str(ROOT), str(installed), str(empty_lake)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [
        f"{installed}/hoursight/__init__.py",
        f"{installed}/_hoursight/storage/__init__.py",
        f"{installed}/_hoursight/functions/__init__.py",
    ], done.stderr


@pytest.mark.timeout(240)
def test_what_is_installed_starts_where_modules_have_the_names_of_ours(
    installed: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-P", "-c", "from hoursight import main; main()"]
    command += ["up", "--port", str(free_port())]
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": ""}
    with running(crowd(tmp_path), command, **environment) as up:
        up.until("listening at http")
        up.until("No source is configured")
        up.end()
    assert up.process.returncode == 0
    assert "the wrong" not in up.said
    for room in ("storage", "functions", "web", "scripts"):  # Python has run them from there
        assert list((installed / "_hoursight" / room / "__pycache__").glob("*.pyc"))
