/** Written by scripts/vocabulary.py from opg_magic/audit/words.py: do not edit. */

/** `prompt-differs`. */
export const PROMPT_DIFFERS = "The prompt in the cell is not the one that this answer was given to.";

/** `cell-changed`. */
export const CELL_CHANGED = "The cell was edited after the call (its prompt was not).";

/** `not-the-call`. */
export const NOT_THE_CALL = "This cell is not the call that the receipt answers: what it says was not compared.";

/** `twice`, of a table's receipts. */
export const TWICE_IN_TABLE = "This receipt appears twice among those of a table; it counts once.";
