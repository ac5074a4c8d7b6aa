"""The two ways in which input can be unusable, each told in one sentence.

``InputError`` concerns the whole call (an unreadable file, a database that does not fit its
descriptor): nothing can be done, and it is raised. ``StructureError`` concerns one structure
(coinciding atoms, an element without references): a batch catches it, marks that structure
``failed: <why>`` and goes on with the others.
"""


class LosikoError(ValueError):
    """Base of every error that bad input can cause."""


class InputError(LosikoError):
    """The call as a whole cannot be carried out."""


class StructureError(LosikoError):
    """One structure cannot be worked on; others can."""
