"""Results as a table of Arrow, with a row for each structure.

``rmsd`` is null unless the structure carries a reference geometry, see
``losiko_torch.systems.reference_geometry``. ``expected_rmsd`` is null unless targets are learned.
All other numbers are null if the structure failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from losiko_torch.io.result_rows import rows_of
from losiko_torch.results import Result

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("reason", pa.string()),
        ("converged", pa.bool_()),
        ("n_steps", pa.int32()),
        ("start_loss", pa.float64()),
        ("loss", pa.float64()),
        # Terms of the loss beside the atoms' distances, by name.
        ("terms", pa.map_(pa.string(), pa.float64())),
        # The atom that adds most to the loss: what it adds, its index, its symbol.
        ("largest_distance", pa.float64()),
        ("worst_atom", pa.int32()),
        ("worst_element", pa.string()),
        # Angstrom.
        ("rmsd", pa.float64()),
        # Angstrom, see ``Result.expected_rmsd``.
        ("expected_rmsd", pa.float64()),
        # Whether to keep it, and what speaks against it.
        ("reliable", pa.bool_()),
        ("doubt", pa.string()),
        # The nearest reference of each atom: structure of the database, and atom in it.
        ("nearest_structure", pa.list_(pa.int32())),
        ("nearest_atom", pa.list_(pa.int32())),
        # Byte at which the structure's frame begins in the extended xyz beside the table.
        ("offset", pa.int64()),
    ]
)


def table_of(results: Sequence[Result], offsets: Sequence[int] | None = None) -> pa.Table:
    """Return the rows of results.

    Args:
        results: The results.
        offsets: Bytes at which their frames begin in a file of extended xyz. None means no file.
    """
    return pa.Table.from_pylist(rows_of(results, offsets), SCHEMA)
