/**
 * Formulas in an answer: which stretches of a text are TeX, and which of it may be typeset.
 *
 * The front end's own typesetter does the rest, inside the answer's box. Only commands named here reach it: none of them
 * moves marks elsewhere, colours, links, names or defines anything. What uses another is shown as it was written.
 */

/** Most formulas of one answer that are typeset, and most characters of one. */
const MOST = 200;
const LONGEST = 1000;
/** Longer texts are not looked through. */
const LONGEST_TEXT = 50_000;

const COMMANDS = new Set(
  (
    'alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho sigma varsigma tau ' +
    'upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega aleph hbar ell Re Im partial nabla ' +
    'infty emptyset varnothing forall exists nexists neg lnot top bot angle prime ' +
    'sum prod coprod int iint iiint oint bigcup bigcap bigoplus bigotimes bigvee bigwedge lim limsup liminf max min sup inf ' +
    'arg deg det dim exp gcd hom ker lg ln log Pr sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth mod bmod pmod ' +
    'pm mp times div cdot ast star circ bullet oplus ominus otimes oslash odot cap cup setminus wedge land vee lor dagger ddagger ' +
    'leq le geq ge neq ne equiv sim simeq approx cong propto ll gg subset supset subseteq supseteq in ni notin mid nmid parallel perp ' +
    'vdash models prec succ preceq succeq to gets mapsto rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow ' +
    'longrightarrow longleftarrow Longrightarrow implies impliedby iff uparrow downarrow hookrightarrow ' +
    'frac dfrac tfrac binom sqrt overline underline hat widehat tilde widetilde bar vec dot ddot acute grave check breve overbrace underbrace ' +
    'left right middle big Big bigg Bigg bigl bigr Bigl Bigr langle rangle lfloor rfloor lceil rceil lbrace rbrace lvert rvert lVert rVert vert Vert ' +
    'mathbb mathbf mathcal mathfrak mathit mathrm mathsf mathtt boldsymbol operatorname text textbf textit textrm displaystyle textstyle limits nolimits ' +
    'ldots cdots vdots ddots dots quad qquad not begin end'
  ).split(' ')
);
const ENVIRONMENTS = new Set('matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix cases aligned align align* equation equation* gathered split array'.split(' '));
/** A command of a letter that is none: thin spaces, braces, a new line of a matrix. */
const SIGNS = new Set([...',;:! {}|_%&#$\\']);

/** Whether this formula (with its delimiters) may be handed to the typesetter. */
export function mayBeTypeset(formula: string): boolean {
  if (formula.length > LONGEST) {
    return false;
  }
  const inner = formula.replace(/^(?:\$\$?|\\[([])/, '').replace(/(?:\$\$?|\\[)\]])$/, '');
  for (const [, word, sign] of inner.matchAll(/\\(?:([A-Za-z]+)|([\s\S])|$)/g)) {
    if (word === undefined ? sign === undefined || !SIGNS.has(sign) : !COMMANDS.has(word)) {
      return false;
    }
  }
  return [...inner.matchAll(/\\(?:begin|end)\s*(\{[^{}]*\})?/g)].every(([, name]) => name !== undefined && ENVIRONMENTS.has(name.slice(1, -1)));
}

/** Code, which is passed over, and what can be a formula: `$…$` of one line that is no price, `$$…$$`, `\(…\)`, `\[…\]`. */
const STRETCH =
  /(`+)[^`](?:[\s\S]{0,2000}?[^`])??\1(?!`)|\$\$[^$]{1,1000}\$\$|\\\[[^$]{1,1000}?\\\]|\\\([^$\n]{1,1000}?\\\)|\$(?![\s$])[^$\n`]{0,1000}?[^\s$\\`]\$(?![0-9])/g;

/** The text with each formula replaced by what `stand` gives for it; fenced code is left alone. */
export function withFormulas(text: string, stand: (formula: string) => string): string {
  if (text.length > LONGEST_TEXT || !/[$]|\\[([]/.test(text)) {
    return text;
  }
  let count = 0;
  const replaced = (part: string): string =>
    part.replace(STRETCH, (found: string) => (found.startsWith('`') || count >= MOST || !mayBeTypeset(found) ? found : (count++, stand(found))));
  const parts: string[] = [];
  let open: string | null = null;
  let run: string[] = [];
  const end = (code: boolean): void => {
    if (run.length) {
      parts.push(code ? run.join('') : replaced(run.join('')));
      run = [];
    }
  };
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const marks: string | null = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? null;
    if (open === null && marks !== null) {
      end(false);
      open = marks;
      run.push(line);
    } else {
      run.push(line);
      if (open !== null && marks !== null && marks.startsWith(open)) {
        end(true);
        open = null;
      }
    }
  }
  end(open !== null);
  return parts.join('');
}

/** What a typesetter may not have made of a formula. */
const FORBIDDEN = 'a, img, image, script, iframe, object, embed, style, link, form, input, button, [href], [src], [onclick]';

/** Typeset these elements, each a formula's source; one that comes out with more than marks is shown as it was written. */
export async function typeset(places: readonly HTMLElement[], typesetter: { typeset(node: HTMLElement): unknown }): Promise<void> {
  for (const place of places) {
    const source = place.textContent ?? '';
    try {
      await typesetter.typeset(place);
      if (place.querySelector(FORBIDDEN) !== null) {
        place.replaceChildren(source);
      }
    } catch {
      place.replaceChildren(source);
    }
  }
}
