"""Frames of extended xyz of many results: those of plain molecules together, others one by one.

Rows of atoms have one width, so that those of thousands of molecules are one array of bytes. The
frames are what ``formats.extxyz.frame_of`` returns, byte for byte: whatever it may write otherwise
goes through it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, repeat
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.io.extxyz import key_val_dict_to_str

from losiko_torch.io.extras import EXTRAS, printable
from losiko_torch.io.formats.extxyz import NAME, TAKEN, frame_of, readable_entry
from losiko_torch.io.formats.fixed import MOST, WIDTH, as_text
from losiko_torch.io.formats.interface import Format
from losiko_torch.io.formats.left_out import Tell
from losiko_torch.io.formats.shortest import shortest
from losiko_torch.io.formats.texts import encoded, file_of_many
from losiko_torch.io.labels import DISTANCE, EXPECTED_ERROR, LABELS, TERM
from losiko_torch.results import Result, expected_rmsds
from losiko_torch.results.columns import Columns, ManyResults, rmsds_of
from losiko_torch.systems.molecules import is_plain
from losiko_torch.systems.names import METADATA, SOURCE, UNREADABLE

#: Results whose frames are made together.
TOGETHER = 4096
#: Origins that are written as they are: no spaces or quotes, and never a number.
SIMPLE = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*@[0-9]+")
#: Types that are written as Python shows them.
NUMBERS = frozenset((int, float, np.int64, np.float64))
#: Keys of the reason and of the expected RMSD.
REASON, RMSD = "losiko_reason", "losiko_expected_rmsd"
#: Keys of ``info`` that results write themselves, or that are not written.
OWN = frozenset((*LABELS, EXTRAS, UNREADABLE))


def frames_of(results: Sequence[Result], tell: Tell) -> Iterator[list[bytes]]:
    """Yield results as frames of extended xyz, ``TOGETHER`` of them at a time.

    Args:
        results: Results.
        tell: Function that takes the names of what is left out.
    """
    for first in range(0, len(results), TOGETHER):
        yield _some(results[first : first + TOGETHER], tell)


def _some(results: Sequence[Result], tell: Tell) -> list[bytes]:
    frames: list[bytes | None] = [None] * len(results)
    if isinstance(results, ManyResults):
        there, columns, _ = results.split()
        for place, frame in zip(there.tolist(), _of_columns(columns), strict=True):
            frames[place] = frame
    else:
        alike: dict[bool, list[int]] = {False: [], True: []}
        for place, (result, rmsd) in enumerate(zip(results, expected_rmsds(results), strict=True)):
            if _is_simple(result):
                frames[place] = _comment(result, rmsd)
                if frames[place] is not None:
                    alike[result.expected_error is not None].append(place)
        for expects, places in alike.items():
            rows = _rows_of([results[place] for place in places], expects)
            for place, body in zip(places, rows, strict=True):
                begin = frames[place]
                frames[place] = None if body is None or begin is None else begin + body
    return [
        encoded(frame_of(results[place], tell)) if frame is None else frame
        for place, frame in enumerate(frames)
    ]


def _is_simple(result: Result) -> bool:
    count = len(result.atoms)
    error = result.expected_error
    return (
        count > 0
        and not result.failed
        and is_plain(result.atoms)
        and result.atoms.positions.dtype == float
        and result.distances.shape == (count,)
        and (error is None or error.shape == (count,))
        and OWN.isdisjoint(result.atoms.info)
    )


def _of_columns(columns: Columns) -> Iterator[bytes | None]:
    """Yield the frame of each result in columns; None where it may take another form."""
    molecules, error = columns.molecules, columns.expected_error
    if not OWN.isdisjoint(molecules.facts):
        yield from [None] * len(columns)
        return
    count, expects = len(columns), error is not None
    info = [_entries(*each) for each in molecules.facts.items() if each[0] != METADATA]
    behind = [_entries(f"{TERM}{name}", each.tolist()) for name, each in columns.terms.items()]
    if expects:
        rmsds = shortest(np.array(rmsds_of(columns)))
        behind.append([f"{RMSD}={rmsd}" for rmsd in rmsds])
    fates = columns.converged.tolist(), columns.n_steps.tolist(), columns.reason, columns.doubt
    begins = map(
        _begin,
        *(molecules.counts.tolist(), repeat(expects)),
        *(shortest(columns.loss), shortest(columns.start_loss), map(_fate, *fates)),
        map(_spaced, zip(*info, strict=True) if info else repeat((), count)),
        map(_spaced, zip(*behind, strict=True) if behind else repeat((), count)),
    )
    numbers = [columns.distances] if error is None else [columns.distances, error]
    rows = _rows(molecules.numbers, molecules.positions, numbers, molecules.offsets.tolist())
    for begin, body in zip(begins, rows, strict=True):
        yield None if begin is None or body is None else begin + body


def _rows_of(results: Sequence[Result], expects: bool) -> Iterator[memoryview | None]:
    """Yield what ``_rows`` does of results, all of which have errors to expect or none has."""
    if not results:
        return iter(())
    columns = [np.concatenate([each.distances for each in results])]
    if expects:
        errors = [each.expected_error for each in results if each.expected_error is not None]
        columns.append(np.concatenate(errors))
    return _rows(
        np.concatenate([each.atoms.arrays["numbers"] for each in results]),
        np.concatenate([each.atoms.arrays["positions"] for each in results]),
        columns,
        list(accumulate((len(each.atoms) for each in results), initial=0)),
    )


def _rows(
    numbers: np.ndarray, positions: np.ndarray, others: list[np.ndarray], offsets: list[int]
) -> Iterator[memoryview | None]:
    """Yield the rows of each structure's atoms; None where they do not have the common width."""
    columns = np.column_stack([positions, *others])
    small = np.abs(columns) < MOST  # false for what is no number
    known = (numbers >= 0) & (numbers < len(chemical_symbols))
    odd = set[int]()
    if not (small.all() and known.all()):
        columns, numbers = np.where(small, columns, 0.0), np.where(known, numbers, 0)
        odd.update(np.flatnonzero(~known | ~small.all(1)).tolist())
    text = np.empty((len(numbers), 2 + (1 + WIDTH) * columns.shape[1] + 1), dtype=np.uint8)
    text[:, :2] = _SYMBOLS[numbers]
    text[:, -1] = ord("\n")
    cells = text[:, 2:-1].reshape(*columns.shape, 1 + WIDTH)
    cells[:, :, 0] = ord(" ")
    # As one item of 16 bytes each: much faster than byte by byte.
    cells[:, :, 1:].view(f"V{WIDTH}")[:] = as_text(columns).view(f"V{WIDTH}")
    width, every = text.shape[1], text.reshape(-1).data
    for first, end in pairwise(offsets):
        plain = not odd or odd.isdisjoint(range(first, end))
        yield every[width * first : width * end] if plain else None


_SYMBOLS = np.frombuffer(
    "".join(f"{symbol:<2}" for symbol in chemical_symbols).encode("ascii"), dtype=np.uint8
).reshape(-1, 2)


def _comment(result: Result, rmsd: float | None) -> bytes | None:
    """Return the lines before the atoms; None where an entry may take another form."""
    expects = result.expected_error is not None
    info = [_entry(key, value) for key, value in result.atoms.info.items() if key != METADATA]
    behind = [_entry(f"{TERM}{name}", value) for name, value in result.terms.items()]
    if expects:
        behind.append(f"{RMSD}={rmsd}")
    return _begin(
        len(result.atoms),
        expects,
        float(result.loss),
        float(result.start_loss),
        _fate(bool(result.converged), int(result.n_steps), result.reason, result.doubt),
        _spaced(info),
        _spaced(behind),
    )


def _begin(
    count: int,
    expects: bool,
    loss: float | str,
    start_loss: float | str,
    fate: str | None,
    info: str | None,
    behind: str | None,
) -> bytes | None:
    """Return what ``_comment`` does, of a result that did not fail; None if an entry is None.

    ``fate`` is what ``_fate`` tells, and ``behind`` are the entries that come last.
    """
    if fate is None or info is None or behind is None:
        return None
    return encoded(
        f"{count}\nProperties={_PROPERTIES[expects]} {info}losiko_loss={loss} "
        f'losiko_start_loss={start_loss} {fate}{behind}pbc="F F F"\n'
    )


@lru_cache(maxsize=4096)
def _fate(converged: bool, n_steps: int, reason: str, doubt: str) -> str | None:
    """Return the entries of whether and when a result converged, why it ended, and of its worth."""
    flags = [f"losiko_converged={'T' if converged else 'F'}", f"losiko_steps={n_steps}"]
    reliable = f"losiko_reliable={'T' if converged and not doubt else 'F'}"
    doubted = [_entry("losiko_doubt", doubt)] if doubt else []
    return _spaced([*flags, _entry(REASON, reason), reliable, *doubted])


def _spaced(entries: Sequence[str | None]) -> str | None:
    """Return entries with a space behind each; None if one of them is None."""
    if None in entries:
        return None
    return f"{' '.join(entries)} " if entries else ""  # type: ignore[arg-type]


_PROPERTIES = (
    f"species:S:1:pos:R:3:{DISTANCE}:R:1",
    f"species:S:1:pos:R:3:{DISTANCE}:R:1:{EXPECTED_ERROR}:R:1",
)


def _entries(key: str, values: list[Any]) -> list[str | None]:
    """Return the ``_entry`` of each value."""
    if _is_simple_key(key):
        kinds = set(map(type, values))
        if kinds <= NUMBERS or (key == SOURCE and kinds == {str} and _of_one_file(values)):
            return [f"{key}={value}" for value in values]
    return [_entry(key, value) for value in values]


def _of_one_file(sources: list[str]) -> bool:
    """Return whether origins are frames of one file, and all are written as they are."""
    if not SIMPLE.fullmatch(sources[0]):
        return False
    file = sources[0].rpartition("@")[0]
    begin, *frames = "\n".join(["", *sources]).split(f"\n{file}@")
    # Where another file is in between, a frame is no number.
    digits = "".join(frames)
    whole = begin == "" and len(frames) == len(sources) and "" not in frames
    return whole and digits.isascii() and digits.isdecimal()


def _entry(key: Any, value: Any) -> str | None:
    """Return an entry of ``info`` as it is written; None where it may take another form."""
    if type(key) is not str or not _is_simple_key(key):
        return None
    kind = type(value)
    if kind is bool or kind is np.bool_:
        return f"{key}={'T' if value else 'F'}"
    if kind in NUMBERS:
        return f"{key}={value}"
    if kind is not str:
        return None
    if key == SOURCE and SIMPLE.fullmatch(value):
        return f"{key}={value}"
    return _text(key, value)


@lru_cache(maxsize=256)
def _is_simple_key(key: str) -> bool:
    return key not in TAKEN and key.isidentifier() and key.isascii()


@lru_cache(maxsize=4096)
def _text(key: str, value: str) -> str | None:
    try:
        return key_val_dict_to_str({key: readable_entry(key, printable(value))})
    except (TypeError, ValueError, LookupError):
        return None


FORMAT = Format(
    "extxyz",
    (".extxyz", ".xyz"),
    file_of_many(NAME, frames_of, keep_part=True),
    already="structures",
)
