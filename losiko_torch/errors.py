"""The two ways in which input can be unusable, each told in one sentence.

``InputError`` concerns the whole call (an unreadable file, a database that does not fit its
descriptor): nothing can be done, and it is raised. ``StructureError`` concerns one structure
(coinciding atoms, an element without references): a batch catches it, marks that structure
``failed: <why>`` and goes on with the others.
"""


class LosikoError(ValueError):
    """Base of every error that bad input can cause."""


class InputError(LosikoError):
    """Error of a call that cannot be carried out at all."""


class UnknownOption(InputError, TypeError):
    """Error of a call with an option that there is none of; a ``TypeError`` as Python's is."""


class FixedParameter(InputError, AttributeError):
    """Error of changing what defines a descriptor; an ``AttributeError`` as Python's is."""


class StructureError(LosikoError):
    """Error of a structure that cannot be worked on; others can."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; the name of its class where it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
