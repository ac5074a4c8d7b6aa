"""Code of the notebooks and of ``benchmarks/paper.py``: data, energies, pictures, and for each
case its starting structures, parameters and measurements, so that both show the same numbers."""
