"""The shape that an answer shall have: a schema is resolved once, to what is sent and to what reads
the answer.

:func:`resolve` takes whatever names a shape and gives a :class:`Shape`: its ``response_format``
goes into the request, its ``parse`` makes data of an answer's text.  A bad schema raises
:class:`opg_magic.errors.ArgumentError` there, before anything is signed."""

from opg_magic.shapes.reading import code_blocks
from opg_magic.shapes.resolving import resolve, resolve_words, variable, wanted
from opg_magic.shapes.rows import rows_in
from opg_magic.shapes.shape import FORMATS, Format, Shape, fitted

__all__ = [
    "FORMATS",
    "Format",
    "Shape",
    "code_blocks",
    "fitted",
    "resolve",
    "resolve_words",
    "rows_in",
    "variable",
    "wanted",
]
