"""Formats of files of results: each module declares one as ``FORMAT``, see ``interface``."""
