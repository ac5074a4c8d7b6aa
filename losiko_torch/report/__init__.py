"""What became of the structures of a run: numbers, and one page that shows them.

``summary`` counts, ``failures`` groups reasons, ``references`` tells which of a database were used;
``histograms`` and ``structures`` are what ``page`` draws.
"""
