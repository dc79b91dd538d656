/** Written by scripts/vocabulary.py from opg_magic/receipt/face/third.py and hop.py: do not edit. */

/** The tag of a simulated network. */
export const SIMULATED = "simulated network";

/** The same where there is little room. */
export const SIMULATED_BRIEF = "simulated";
