"""What is said of a cell and its receipt, by ``opg verify`` and by the browser alike:
``scripts/vocabulary.py`` writes it for the browser."""

from __future__ import annotations

PROMPT_DIFFERS = "The prompt in the cell is not the one that this answer was given to."
CELL_CHANGED = "The cell was edited after the call (its prompt was not)."
NOT_THE_CALL = "This cell is not the call that the receipt answers: what it says was not compared."
TWICE_IN_TABLE = "This receipt appears twice among those of a table; it counts once."
