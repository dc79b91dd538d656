/** Colours for code, from the front end's own editor; null where it has none. */
export const highlighter: {
  /** Puts `code` into `place` in coloured spans; false where the language is not known. */
  highlight: ((code: string, language: string, place: HTMLElement) => Promise<boolean>) | null;
} = { highlight: null };
