"""Sources: one TOML file each, and what is done with the documents that an adapter fetches."""
