"""Doubt about molecules with an odd number of electrons, which databases of molecules lack."""

from __future__ import annotations

from ase import Atoms

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.electrons import has_odd_electrons, total_charge


def doubt_electrons(atoms: Atoms, database: DatabaseRecord) -> str:
    """Return the doubt about a molecule that is a radical, as no other of a database is, or ""."""
    survey = database.survey
    if survey is None or survey.radicals is not False or not survey.partners:
        return ""
    if not has_odd_electrons(atoms):
        return ""
    return (
        f"it has an odd number of electrons at a charge of {total_charge(atoms)}: it is a radical, "
        'as no structure of the database is, or an ion (tell its charge by atoms.info["charge"])'
    )
