"""What the five notebooks and ``benchmarks/paper.py`` share: data, energies, pictures, and for each
case its starting structures, parameters and measurements, so that both show the same numbers."""
