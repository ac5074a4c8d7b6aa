"""Public sets of structures, fetched and kept as files that every command reads."""
