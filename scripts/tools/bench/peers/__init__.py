"""What a user might pick instead, one file each: `python -m scripts.tools.bench peers`."""
