"""Configuration: paths of a data folder, settings, API keys, the start of a process."""
