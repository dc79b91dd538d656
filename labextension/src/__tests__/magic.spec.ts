import { candidates, ICandidate, inMagic, isOpg } from '../cells/magic';
import { COMMANDS, FLAGS, MODELS, NETWORKS } from '../cells/vocabulary';

/** Candidates at the bar in the text. */
function at(text: string, hosts: { name: string; tee_id: string }[] = []): ICandidate[] | null {
  const offset = text.indexOf('|');
  const found = candidates(text.replace('|', ''), offset, hosts);
  return found && [...found.found];
}

const texts = (found: ICandidate[] | null): string[] | null => found && found.map(one => one.text);

describe('isOpg', () => {
  test.each(['%%opg', '%%opg ', '%%opg x --quiet\nWhy?', '\n\n%%opg\nWhy?', '  %%opg', '%%opg --bogus'])('%j is a question', source =>
    expect(isOpg(source)).toBe(true)
  );
  test.each(['', '%opg status', '%%opgx', 'x = 1\n%%opg', '# %%opg', '%%time\n%%opg', '%% opg', '%%opg\tx', '%%opg\u0085', '\ufeff%%opg', '%%opg\u200b'])('%j is none', source =>
    expect(isOpg(source)).toBe(false)
  );
});

describe('candidates', () => {
  test('every flag in the line of a cell, with its help', () => {
    const found = at('%%opg name |\nWhy?')!;
    expect(texts(found)).toEqual(FLAGS.map(flag => flag.flag));
    expect(found[0].help).toBe(FLAGS[0].help);
  });

  test('what begins as the word does', () => expect(texts(at('%%opg --mo|'))).toEqual(['--model']));

  test('a flag that was given comes again only if it repeats', () => {
    const found = texts(at('%%opg --model x --stop y --|'))!;
    expect(found).not.toContain('--model');
    expect(found).toContain('--stop');
  });

  test('values, after a space or an equals sign', () => {
    expect(texts(at('%%opg --model |'))).toEqual([...MODELS]);
    expect(texts(at('%%opg --policy s|'))).toEqual(['strict']);
    expect(texts(at('%%opg --policy=s|'))).toEqual(['--policy=strict']);
    expect(texts(at('%%opg -f d|'))).toEqual(['df']);
    expect(texts(at('%%opg -f df --form|'))).toEqual([]);
    expect(texts(at('%%opg --network |'))).toEqual([...NETWORKS]);
    expect(texts(at('%%opg --timeout |'))).toEqual([]);
  });

  test('in a list stand names that the kernel alone knows, and no flags', () => {
    for (const line of ['--tools |', '--tools f, |', '--tools f , g,|', '--tools=f, |']) {
      expect(texts(at(`%%opg ${line}`))).toEqual([]);
    }
    expect(texts(at('%%opg --tools f, g --tools-|'))).toEqual(['--tools-confirm']);
    expect(texts(at('%%opg --system f, --quie|'))).toEqual(['--quiet']);
  });

  test('hosts as the server knows them, by id and by name', () => {
    const hosts = [{ name: 'anna', tee_id: '0xab' }];
    expect(at('%%opg --host |', hosts)).toEqual([{ text: '0xab', kind: 'host', help: 'anna' }]);
    expect(texts(at('%opg simnet cheat |', hosts))).toEqual(['anna']);
    expect(texts(at('%%opg --host |'))).toEqual([]);
  });

  test('the prompt completes nothing', () => {
    expect(at('%%opg\n--mo|')).toBeNull();
    expect(at('%%opg\nWhy? |')).toBeNull();
    expect(at('x = 1\n%%opg --mo|')).toBeNull();
    expect(at('%%opg\u200b --mo|')).toBeNull();
    expect(inMagic('%%opg\nabc', 8)).toBe(false);
  });

  test('nor does a comment, nor what stands in quotes', () => {
    expect(at('%%opg tee # --mo|')).toBeNull();
    expect(at('%%opg --system "say --mo|')).toBeNull();
    expect(texts(at('%%opg --system "say" --mo|'))).toEqual(['--model']);
  });

  test('a call under %%time, and one that is indented', () => {
    expect(texts(at('%%time\n%%opg --mo|'))).toEqual(['--model']);
    expect(texts(at('\n  %%opg --model=x --mo|'))).toEqual([]);
  });

  test('the line magic, alone and assigned', () => {
    expect(texts(at('%opg |'))).toEqual(COMMANDS.map(one => one.name));
    expect(texts(at('x = 1\nrows = %opg rec|'))).toContain('receipts');
    expect(texts(at('%opg config mod|'))).toEqual(['model']);
    expect(texts(at('%opg use |'))).toEqual([...NETWORKS]);
    expect(texts(at('%opg show last |'))).toEqual(['--unverified']);
    expect(at('%opgx |')).toBeNull();
  });

  test('where the word begins', () => expect(candidates('%%opg --mod', 11)).toMatchObject({ start: 6, word: '--mod' }));
});
