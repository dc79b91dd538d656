import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { RECEIPT_SCHEMA } from '../receipt/receipt';

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(stripped);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => key !== 'description' || typeof inner !== 'string')
      .map(([key, inner]) => [key, key === 'required' ? [...(inner as string[])].sort() : stripped(inner)])
  );
}

test('the bundle holds the published schema, all but its descriptions', () => {
  const published = join(__dirname, '../../../opg_magic/receipt/schema/receipt-v1.json');
  expect(stripped(RECEIPT_SCHEMA)).toEqual(stripped(JSON.parse(readFileSync(published, 'utf8'))));
});
