/** Written by scripts/vocabulary.py from opg_magic/receipt/calls.py, shapes/misfit.py and audit/implied.py: do not edit. */

/** Characters that are drawn as nothing, or as space. */
export const UNSEEN = "[\\u{9}-\\u{a}\\u{a0}-\\u{a0}\\u{ad}-\\u{ad}\\u{34f}-\\u{34f}\\u{600}-\\u{605}\\u{6dd}-\\u{6dd}\\u{70f}-\\u{70f}\\u{890}-\\u{891}\\u{8e2}-\\u{8e2}\\u{115f}-\\u{1160}\\u{1680}-\\u{1680}\\u{17b4}-\\u{17b5}\\u{180b}-\\u{180f}\\u{2000}-\\u{200f}\\u{202f}-\\u{202f}\\u{205f}-\\u{206f}\\u{2800}-\\u{2800}\\u{3000}-\\u{3000}\\u{3164}-\\u{3164}\\u{e000}-\\u{f8ff}\\u{fdd0}-\\u{fdef}\\u{fe00}-\\u{fe0f}\\u{ffa0}-\\u{ffa0}\\u{fff0}-\\u{fffb}\\u{fffe}-\\u{ffff}\\u{110bd}-\\u{110bd}\\u{110cd}-\\u{110cd}\\u{13430}-\\u{1343f}\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{10ffff}]";

/** Letters that run from right to left. */
export const LEFTWARD = "[\\u{590}-\\u{8ff}\\u{fb1d}-\\u{fdff}\\u{fe70}-\\u{fefe}\\u{10800}-\\u{10fff}\\u{1e800}-\\u{1efff}]";

/** Of a tool's call. */
export const ASKS_FOR = "The model asks for:";

/** Of a tool's call. */
export const YES_OR_NO = "? [y/N] ";

/** Of a tool's call. */
export const NOT_RUN = ": not run, ";

/** Of a tool's call. */
export const MOST_SHOWN = 10000;

/** Of a tool's call. */
export const MOST_UNRUN = 100;

/** Of a tool's call. */
export const NOT_CONFIRMED = "its tool calls were not confirmed, so none of them was run";

/** Of a tool's call. */
export const NOBODY = "nobody could be asked to confirm its tool calls, so none of them was run";

/** Of a tool's call. */
export const UNASKED = "To run them without asking: --tools-confirm never, or tools_confirm=False.";

/** Of a tool's call. */
export const TOO_LONG = "its tool calls are too long to be shown, so none was run";

/** Of a tool's call. */
export const STILL_ASKS = "the model still asks for tools after round";

/** Of JSON that does not fit. */
export const DOES_NOT_FIT = "The answer does not fit the schema";

/** Of JSON that does not fit. */
export const IN_WORDS = [
  "The answer does not fit the schema (",
  "The answer could not be read by your type: ",
  "The answer could not be held against the schema (",
  "The answer fits its schema, but no table can be made of it ("
] as const;

/** Of JSON that does not fit. */
export const MOST_FAULTS = 3;

/** Of JSON that does not fit. */
export const LONGEST = 160;

/** Of JSON that does not fit. */
export const MOST_STEPS = 200000;

/** Of JSON that does not fit. */
export const DEEPEST = 100;

/** Of JSON that does not fit. */
export const NAMES: Readonly<Record<string, string>> = {
  "string": "a string",
  "integer": "an integer",
  "number": "a number",
  "boolean": "a boolean",
  "array": "a list",
  "object": "an object",
  "null": "null"
};

/** Of JSON that does not fit. */
export const MISSING = "missing";

/** Of JSON that does not fit. */
export const EXTRA = "not in the schema";

/** Of JSON that does not fit. */
export const FORBIDDEN = "not allowed";

/** Of JSON that does not fit. */
export const NO_VALUE = "none of the values that are allowed";

/** Of JSON that does not fit. */
export const NO_FORM = "none of the forms that are allowed";

/** Of JSON that does not fit. */
export const BOUNDS = [
  [
    "minimum",
    "number",
    "less than {}"
  ],
  [
    "exclusiveMinimum",
    "number",
    "not more than {}"
  ],
  [
    "maximum",
    "number",
    "more than {}"
  ],
  [
    "exclusiveMaximum",
    "number",
    "not less than {}"
  ],
  [
    "minLength",
    "string",
    "shorter than {} characters"
  ],
  [
    "maxLength",
    "string",
    "longer than {} characters"
  ],
  [
    "minItems",
    "array",
    "fewer than {} items"
  ],
  [
    "maxItems",
    "array",
    "more than {} items"
  ]
] as const;

/** Of JSON that does not fit. */
export const NO_TOOL = "there is no such tool";

/** Of JSON that does not fit. */
export const NOT_JSON = "the arguments are not JSON that is read in one way only";

/** Of JSON that does not fit. */
export const DO_NOT_FIT = "the arguments do not fit";

/** Of JSON that does not fit. */
export const BY_TYPE = "the arguments do not fit the type hints:";

/** Of an answer that is not the JSON asked for. */
export const EMPTY = "The answer is empty; JSON was asked for.";

/** Of an answer that is not the JSON asked for. */
export const CUT = "The answer ends in the middle of its JSON; a higher max_tokens may help.";

/** Of an answer that is not the JSON asked for. */
export const NO_JSON = "The answer is not JSON.";

/** What is said of a cell. */
export const BESIDE = [
  "incomplete",
  "beside",
  "This cell also shows output that no receipt covers."
] as const;

/** What is said of a cell. */
export const OTHER_QUESTION = [
  "failed",
  "shown-question",
  "The question that the cell shows is not about the calls that the receipt above it holds."
] as const;

/** What is said of a cell. */
export const OTHER_ANSWER = [
  "failed",
  "shown-question",
  "The cell shows a no to its question, and the next receipt holds what the calls returned."
] as const;

/** What is said of a cell. */
export const OTHER_ERROR = [
  "failed",
  "shown-error",
  "The error that the cell shows is not the one that its receipts lead to."
] as const;

/** What is said of a cell. */
export const WORDS_NOT_COMPARED = [
  "incomplete",
  "not-compared",
  "Why something does not fit is told in words of a library or a type of the author's; those were not compared with anything."
] as const;

/** What is said of a cell. */
export const TOOLS = [
  "note",
  "tools",
  "The host signed which functions the model asked for, and the next request holds what they returned. That they ran, and that somebody agreed, is the author's word."
] as const;

/** What is said of a cell. */
export const MOST_WORDS = 1500;

/** Of an answer that was not paid for anew. */
export const FROM_LEDGER = "This answer comes from the ledger. To pay for another one: --fresh, or fresh=True.";
