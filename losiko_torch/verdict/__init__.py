"""Verdict on relaxed structures: which to keep, and of which to doubt what."""
