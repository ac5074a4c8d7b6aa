"""Readers of the kinds of structure files, one a module; ``registry`` has the reader of a file."""
