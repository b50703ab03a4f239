"""Tags of servers, by the globs of the settings."""

from pathlib import Path

from storage.config.folders import Folders
from web.display.tags import Tags, tag_rows, tags_in_force

TAGS = Tags({"shop": ["*.shop", "till-*"], "eu": ["*-eu*"]})


def test_a_server_has_the_tags_whose_globs_match_its_name() -> None:
    assert TAGS.of("WEB-7.shop") == ["shop"]
    assert TAGS.of("till-eu-1") == ["eu", "shop"]
    assert TAGS.of("shop") == []


def test_only_servers_with_tags_have_rows() -> None:
    assert tag_rows(["a", "till-1"], TAGS).to_pylist() == [{"server": "till-1", "tags": ["shop"]}]
    assert tag_rows(["a"], Tags({})).num_rows == 0


def test_tags_follow_the_settings_file_and_an_invalid_one_leaves_none(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    assert tags_in_force(folders).names == []
    folders.settings.write_text('[tags]\neu = ["*-eu"]\n')
    assert tags_in_force(folders).names == ["eu"]
