from pathlib import Path

import msgspec
import pytest

from functions.engine.executors.subprocess_executor import LoadFailed, WorkerFactory
from functions.engine.function_catalog import (
    FunctionCatalog,
    UnknownFunction,
    adapter_sources,
    engine_functions,
)
from functions.engine.user_files import FUNCTIONS, SOURCES
from storage.config.folders import Folders
from storage.config.settings import HostSettings, Settings, SimulatorSettings, SourceSettings
from tests.functions.engine.engine_scenes import save

BEAT = '@function(on=(every("1m"), request("pulse")), writes="server_facts")\ndef beat(): ...\n'


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


@pytest.fixture
def catalog(folders: Folders) -> FunctionCatalog:
    return FunctionCatalog(folders, Settings())


def load_all(catalog: FunctionCatalog, folders: Folders) -> None:
    """Load the files of functions, as the running system does."""
    for file in catalog.user_files():
        worker_factory = WorkerFactory(folders, Settings())
        catalog.load(
            worker_factory, file.folder, file.source, catalog.reserved_names(FUNCTIONS)
        ).close()


def names_of(catalog: FunctionCatalog) -> list[str]:
    return [entry.function.name for entry in catalog.entries()]


def settings(host: bool, simulator: bool) -> Settings:
    sources = SourceSettings(HostSettings(host), SimulatorSettings(simulator))
    return Settings(sources=sources)


def test_the_functions_of_the_folder_are_found_once_each() -> None:
    names = [each.name for each in engine_functions()]
    assert {"rollup", "forecast", "risk"} <= set(names)
    assert len(names) == len(set(names))


def test_adapters_are_not_the_engines() -> None:
    assert not {"host", "simulator"} & {each.name for each in engine_functions()}


@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("simulator", [True, False])
def test_the_settings_turn_adapters_on_and_off(
    folders: Folders, host: bool, simulator: bool
) -> None:
    wanted = ["host"] * host + ["simulator"] * simulator
    listed = names_of(FunctionCatalog(folders, settings(host, simulator)))
    assert [name for name in listed if name in ("host", "simulator")] == wanted
    assert [source.name for source in adapter_sources(settings(host, simulator))] == wanted


def test_the_host_alone_is_on_by_default(catalog: FunctionCatalog) -> None:
    assert "host" in names_of(catalog)
    assert "simulator" not in names_of(catalog)


@pytest.mark.parametrize("name", ["forecast", "simulator"])
def test_a_function_is_found_by_its_name_turned_on_or_not(
    catalog: FunctionCatalog, name: str
) -> None:
    assert catalog.find(name).function.name == name


def test_only_a_function_of_the_engine_runs_in_its_process(catalog: FunctionCatalog) -> None:
    assert catalog.find("forecast").source is None
    assert catalog.find("host").source.module == "functions.connectors.host"


def test_an_unknown_name_lists_the_ones_there_are(catalog: FunctionCatalog) -> None:
    expected = "no function 'forcast'; there are alert, .*drift, forecast, .*host, .*simulator"
    with pytest.raises(UnknownFunction, match=expected):
        catalog.find("forcast")


def test_every_function_says_what_it_is_for() -> None:
    assert all(each.purpose for each in engine_functions())


def test_a_file_that_was_never_loaded_declares_nothing_and_is_listed(
    catalog: FunctionCatalog, folders: Folders
) -> None:
    save(folders, "mine", BEAT)
    assert [(f.source.name, f.is_loaded) for f in catalog.user_files()] == [("mine", False)]
    with pytest.raises(UnknownFunction, match=r"not loaded yet: mine.py \(start 'hoursight up'\)"):
        catalog.find("beat")


@pytest.mark.parametrize("name", ["beat", "pulse"])
def test_a_loaded_function_is_found_by_its_name_and_its_request_path(
    catalog: FunctionCatalog, folders: Folders, name: str
) -> None:
    path = save(folders, "mine", BEAT)
    load_all(catalog, folders)
    entry = catalog.find(name)
    assert (entry.function.name, entry.source.path, entry.saved) == ("beat", str(path), None)


def test_until_a_changed_file_is_loaded_its_last_version_counts(
    catalog: FunctionCatalog, folders: Folders
) -> None:
    path = save(folders, "mine", BEAT)
    load_all(catalog, folders)
    loaded = path.read_bytes()
    path.write_bytes(loaded.replace(b"beat", b"drum"))
    entry = catalog.find("beat")
    assert (entry.source.text, entry.saved.text) == (loaded, path.read_bytes())
    path.unlink()
    assert "beat" not in catalog.names()


def test_a_process_that_runs_files_itself_says_what_there_is(folders: Folders) -> None:
    beat = FunctionCatalog(folders, Settings()).find("risk")
    running = msgspec.structs.replace(beat.function, name="mine")
    catalog = FunctionCatalog(folders, Settings(), lambda: [type(beat)(running, None)])
    assert catalog.find("mine").function is running
    assert "mine" in catalog.names()


def test_a_name_that_another_folder_uses_is_reserved(
    catalog: FunctionCatalog, folders: Folders
) -> None:
    save(folders, "mine", BEAT)
    load_all(catalog, folders)
    assert catalog.reserved_names(SOURCES)["beat"] == "functions/mine.py"
    assert "beat" not in catalog.reserved_names(FUNCTIONS)
    assert catalog.reserved_names(FUNCTIONS)["simulator"] == "hoursight"


def test_a_file_that_takes_a_reserved_name_is_not_kept(
    catalog: FunctionCatalog, folders: Folders
) -> None:
    save(folders, "thief", BEAT.replace("beat", "risk"))
    with pytest.raises(LoadFailed, match="function 'risk' in 'hoursight' already"):
        load_all(catalog, folders)
    assert not catalog.user_files()[0].is_loaded


def test_a_call_that_takes_minutes_has_a_process_of_its_own(tmp_path: Path) -> None:
    catalog = FunctionCatalog(Folders.at(tmp_path), Settings())
    assert catalog.find("alert_trial").source is not None
    assert catalog.find("alert_rules").source is None
