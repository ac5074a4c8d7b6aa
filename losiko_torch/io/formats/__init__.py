"""Formats of files of results: each module declares one, a ``io.writers.Format``, as ``FORMAT``."""
