from typing import Any

import msgspec
import pytest

from storage.config.settings_sentence import sentence


class Door(msgspec.Struct, forbid_unknown_fields=True):
    width: int = 1


class House(msgspec.Struct, forbid_unknown_fields=True):
    doors: dict[str, Door] = {}
    rooms: list[Door] = []


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"doors": {"front": {}, "back": {"width": "x"}}},
         "doors.back.width is 'x', expected `int`, got `str`"),
        ({"rooms": [{}, {"width": None}]}, "rooms[1].width is None, expected `int`, got `null`"),
        ({"doors": {"front": {"height": 2}}}, "unknown field `height` in [doors.front]"),
        ({"windows": 2}, "unknown field `windows` in the file (expected one of doors, rooms)"),
        ({"doors": [1]}, "doors: Expected `object`, got `array`"),
    ],
)  # fmt: skip
def test_the_key_comes_first_with_its_value(raw: Any, says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(raw, House)
    assert sentence(str(error.value), raw, House) == says
