/** The rows in an answer's JSON, by the schema in its request: what a table shows of them. The twin of opg_magic/shapes/rows.py. */

import { isObject, Json, JsonObject } from '../base/json';
import { jsonIn } from './misfit';

/** `columns` in the schema's order, then what rows have besides. */
export interface IRows {
  readonly columns: readonly string[];
  readonly rows: readonly JsonObject[];
}

/** The rows of an answer, as signed; null where it holds none. */
export function rowsIn(responseFormat: Json | undefined, text: string): IRows | null {
  const found = jsonIn(text);
  if (typeof found === 'string') {
    return null;
  }
  let { value } = found;
  if (isObject(value) && value.size === 1 && value.has('items')) {
    value = value.get('items')!;
  }
  if (!Array.isArray(value)) {
    return null;
  }
  const rows = value.map((row): JsonObject => (isObject(row) ? row : new Map([['value', row]])));
  const told = columnsOf(responseFormat);
  const named = told.length || rows.length ? told : ['value'];
  return { columns: [...new Set([...named, ...rows.flatMap(row => [...row.keys()])])], rows };
}

/** The columns that the schema of a row names. */
function columnsOf(responseFormat: Json | undefined): string[] {
  const schema = at(responseFormat, 'json_schema', 'schema');
  let row = at(schema, 'properties', 'items', 'items');
  const reference = at(row, '$ref');
  if (typeof reference === 'string' && reference.startsWith('#/$defs/')) {
    row = at(schema, '$defs', reference.slice('#/$defs/'.length));
  }
  const properties = at(row, 'properties');
  return isObject(properties) ? [...properties.keys()] : [];
}

const at = (value: Json | undefined, ...steps: readonly string[]): Json | undefined =>
  steps.reduce<Json | undefined>((found, step) => (isObject(found) ? found.get(step) : undefined), value);
