/** A style sheet as its text: rspack's rule for `.raw.css`. */
declare module '*.raw.css' {
  const text: string;
  export default text;
}
