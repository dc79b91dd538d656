import { canonicalJson, dumpsPython, MalformedMessage, parseStrict, pythonFloat } from '../base/json';
import { pythonText } from '../protocol/python-text';

function codeOf(text: string): string {
  try {
    parseStrict(text);
  } catch (error) {
    return error instanceof MalformedMessage ? error.code : String(error);
  }
  return 'read';
}

describe('strict JSON', () => {
  test.each([
    ['{"a":1,"a":1}', 'ambiguous-json'],
    ['[NaN]', 'ambiguous-json'],
    ['[-Infinity]', 'ambiguous-json'],
    ['1e999', 'ambiguous-json'],
    ['"\\ud800"', 'ambiguous-json'],
    ['{"\\udc00":1}', 'ambiguous-json'],
    ['"\ud800"', 'ambiguous-json'],
    ['['.repeat(65), 'ambiguous-json'],
    ['{"a":1,"a":2', 'not-json'],
    ['"\n"', 'not-json'],
    ['01', 'not-json'],
    ['1.', 'not-json'],
    ['[1,]', 'not-json'],
    ['\ufeff1', 'not-json'],
    ['', 'not-json'],
    ['1 2', 'not-json'],
    ['"\\x"', 'not-json'],
    ['\u00a01', 'not-json'],
    ['9'.repeat(4301), 'not-json'],
    ['"\\ud83d\\ude00"', 'read'],
    ['['.repeat(64) + ']'.repeat(64), 'read'],
    [`"${'['.repeat(99)}"`, 'read'],
    ['9'.repeat(4300), 'read']
  ])('text %# is read or refused as Python does', (text, code) => {
    expect(codeOf(text)).toBe(code);
  });

  test('keys like __proto__ are keys', () => {
    expect(dumpsPython(parseStrict('{"__proto__": {"a": 1}}'))).toBe('{"__proto__": {"a": 1}}');
  });
});

describe('as Python writes', () => {
  // Each pair was written by Python: json.dumps(json.loads(text), sort_keys=True).
  test.each([
    ['{"b":1,"a":[true,false,null]}', '{"a": [true, false, null], "b": 1}'],
    ['[1.0,-0.0,0,-0,1e-7,0.0001,0.00001,123456789012345680.0,1e16,9999999999999998.0,1e22,5e-324]',
     '[1.0, -0.0, 0, 0, 1e-07, 0.0001, 1e-05, 1.2345678901234568e+17, 1e+16, 9999999999999998.0, 1e+22, 5e-324]'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['"é\u007f😀\\u0000\\/\\t"', '"\\u00e9\\u007f\\ud83d\\ude00\\u0000/\\t"'],
    ['{"\ue000":1,"😀":2}', '{"\\ue000": 1, "\\ud83d\\ude00": 2}']
  ])('value %#', (text, written) => {
    expect(dumpsPython(parseStrict(text))).toBe(written);
  });

  test('floats at the edges of their two forms', () => {
    expect([1e15, 123456.789, 0.1 + 0.2, 1.7976931348623157e308, -2.5e-5].map(pythonFloat)).toEqual([
      '1000000000000000.0',
      '123456.789',
      '0.30000000000000004',
      '1.7976931348623157e+308',
      '-2.5e-05'
    ]);
  });

  test('repr of a content list', () => {
    const content = parseStrict(`[{"type":"text","text":"it's \\"é\\"\\n\\u200b\\u00a0😀"},1.0,null,true,"don't"]`);
    expect(pythonText(content)).toBe(
      `[{'type': 'text', 'text': 'it\\'s "é"\\n\\u200b\\xa0😀'}, 1.0, None, True, "don't"]`
    );
  });
});

test('RFC 8785 orders by UTF-16 and writes numbers as JavaScript does', () => {
  expect(canonicalJson({ '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '😀': 5, '\u0080': 6 })).toBe(
    '{"\\r":2,"1":4,"\u0080":6,"\u20ac":1,"😀":5,"\ufb33":3}'
  );
  expect(canonicalJson([333333333.33333329, 1e30, 4.5, 2e-3, 1e-27, -0])).toBe('[333333333.3333333,1e+30,4.5,0.002,1e-27,0]');
  expect(() => canonicalJson('\ud800')).toThrow(RangeError);
  expect(() => canonicalJson(parseStrict('9007199254740993'))).toThrow(RangeError);
});
