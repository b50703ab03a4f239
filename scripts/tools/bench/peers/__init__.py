"""Databases that a user could choose instead: `python -m scripts.tools.bench peers`."""
