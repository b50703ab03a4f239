"""Build hook: an editable install takes everything from the checkout and copies no module."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableInstall(BuildHookInterface):  # type: ignore[type-arg]
    """Keeps the copy of hoursight.py that a wheel has out of an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Replace the files of the wheel's `force-include` where the install is editable."""
        if version == "editable":
            build_data["force_include_editable"] = {"scripts/site-path.txt": "hoursight.pth"}
