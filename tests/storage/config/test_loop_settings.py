from pathlib import Path

from storage.config.loop_settings import LoopSettings, TrainingSettings
from storage.config.settings import read_settings


def test_the_loop_corrects_and_trains_unless_it_is_turned_off(tmp_path: Path) -> None:
    settings = read_settings(tmp_path)
    assert (settings.loop, settings.training) == (LoopSettings(True), TrainingSettings(True))
    text = "[loop]\ncorrect = false\n[training]\nautomatic = false\n"
    (tmp_path / "hoursight.toml").write_text(text)
    settings = read_settings(tmp_path)
    assert (settings.loop.correct, settings.training.automatic) == (False, False)
