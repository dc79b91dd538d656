/** The part of JSON Schema (draft 2020-12) that the receipt's schema uses, and no more: an unknown keyword throws. */

export interface Fault {
  /** Where, as in `response.text`; empty at the top. */
  readonly where: string;
  readonly rule: string;
}

/** The first thing in which a value differs from the schema, or null. */
export type Check = (value: unknown) => Fault | null;

export type Schema = Record<string, unknown>;
type Compile = (rule: never, schema: Schema, root: Root) => Check;

/** Keywords that say nothing about a value. */
const SILENT = new Set(['$schema', '$id', '$defs', 'title', 'description']);

/** Longer texts than this are remembered once they match: certificates and documents come again and again. */
const LONG_TEXT = 512;
const MAX_REMEMBERED = 256;

/**
 * A schema from the short form in which the bundle holds it: a number is the `maxLength` of a string, a text names a
 * definition, a list of one is that or null, and `closed` are the properties of an object that has no others and lacks
 * none but those in `optional`.
 */
export function expand(short: unknown): Schema {
  if (typeof short === 'number') {
    return { type: 'string', maxLength: short };
  }
  if (typeof short === 'string') {
    return { $ref: `#/$defs/${short}` };
  }
  if (Array.isArray(short)) {
    return { oneOf: [expand(short[0]), { type: 'null' }] };
  }
  const { closed, optional = [], ...schema } = short as Schema;
  if (closed !== undefined) {
    schema.type = 'object';
    schema.additionalProperties = false;
    schema.required = Object.keys(closed as Schema).filter(name => !(optional as string[]).includes(name));
    schema.properties = closed;
  }
  for (const name of ['$defs', 'properties']) {
    if (schema[name] !== undefined) {
      schema[name] = Object.fromEntries(Object.entries(schema[name] as Schema).map(([key, value]) => [key, expand(value)]));
    }
  }
  for (const name of ['items', 'propertyNames', 'additionalProperties']) {
    if (schema[name] !== undefined && typeof schema[name] !== 'boolean') {
      schema[name] = expand(schema[name]);
    }
  }
  if (schema.oneOf !== undefined) {
    schema.oneOf = (schema.oneOf as unknown[]).map(expand);
  }
  return schema;
}

interface Root {
  readonly schema: Schema;
  readonly definitions: Map<string, Check>;
}

/** A schema as one function; thousands of values are checked with it. */
export function compile(schema: Schema): Check {
  return compileIn(schema, { schema, definitions: new Map() });
}

/** The first thing in which one value differs from a schema whose definitions stand in `root`, or null. */
export function faultOf(value: unknown, schema: Schema, root: Schema = schema): Fault | null {
  return compileIn(schema, { schema: root, definitions: new Map() })(value);
}

function compileIn(schema: Schema, root: Root): Check {
  const checks: Check[] = [];
  for (const keyword of Object.keys(schema)) {
    const make = KEYWORDS[keyword] as ((rule: unknown, schema: Schema, root: Root) => Check) | undefined;
    if (make !== undefined) {
      checks.push(make(schema[keyword], schema, root));
    } else if (!SILENT.has(keyword)) {
      throw new Error(`the schema uses ${keyword}, which is not implemented`);
    }
  }
  return value => {
    for (const check of checks) {
      const fault = check(value);
      if (fault !== null) {
        return fault;
      }
    }
    return null;
  };
}

const KEYWORDS: Record<string, Compile> = {
  $ref: (ref: string, _, root) => {
    const name = ref.replace('#/$defs/', '');
    const definition = (root.schema.$defs as Record<string, Schema> | undefined)?.[name];
    if (definition === undefined) {
      throw new Error(`the schema refers to ${ref}, which is not there`);
    }
    let check = root.definitions.get(name);
    if (check === undefined) {
      check = compileIn(definition, root);
      root.definitions.set(name, check);
    }
    return check;
  },
  type: (types: string | string[]) => {
    const tests = [types].flat().map(type => TYPES[type]);
    return holds('type', value => tests.some(test => test(value)));
  },
  const: (wanted: unknown) => holds('const', value => value === wanted),
  enum: (allowed: unknown[]) => holds('enum', value => allowed.includes(value)),
  oneOf: (branches: Schema[], _, root) => {
    const checks = branches.map(branch => compileIn(branch, root));
    return value => {
      let holding = 0;
      let deepest: Fault = { where: '', rule: 'oneOf' };
      for (const check of checks) {
        const fault = check(value);
        if (fault === null) {
          holding++;
        } else if (fault.where.length > deepest.where.length) {
          // The fault of the branch that came furthest tells a person most.
          deepest = fault;
        }
      }
      return holding === 1 ? null : deepest;
    };
  },
  required: (names: string[]) =>
    holds('required', value => !isRecord(value) || names.every(name => Object.hasOwn(value, name))),
  properties: (known: Record<string, Schema>, _, root) => {
    const checks = Object.entries(known).map(([name, schema]) => [name, compileIn(schema, root)] as const);
    return value => {
      if (isRecord(value)) {
        for (const [name, check] of checks) {
          const fault = Object.hasOwn(value, name) ? check(value[name]) : null;
          if (fault !== null) {
            return inside(name, fault);
          }
        }
      }
      return null;
    };
  },
  additionalProperties: (rule: false | Schema, schema, root) => {
    const known = new Set(Object.keys((schema.properties ?? {}) as Schema));
    const check: Check = rule === false ? () => ({ where: '', rule: 'additionalProperties' }) : compileIn(rule, root);
    return value => {
      for (const name of isRecord(value) ? Object.keys(value) : []) {
        const fault = known.has(name) ? null : check((value as Schema)[name]);
        if (fault !== null) {
          return inside(name, fault);
        }
      }
      return null;
    };
  },
  propertyNames: (rule: Schema, _, root) => {
    const check = compileIn(rule, root);
    return value => {
      for (const name of isRecord(value) ? Object.keys(value) : []) {
        const fault = check(name);
        if (fault !== null) {
          return fault;
        }
      }
      return null;
    };
  },
  items: (rule: Schema, _, root) => {
    const check = compileIn(rule, root);
    return value => {
      for (const [index, item] of Array.isArray(value) ? value.entries() : []) {
        const fault = check(item);
        if (fault !== null) {
          return inside(String(index), fault);
        }
      }
      return null;
    };
  },
  maxProperties: (most: number) => holds('maxProperties', value => !isRecord(value) || Object.keys(value).length <= most),
  minItems: (least: number) => holds('minItems', value => !Array.isArray(value) || value.length >= least),
  maxItems: (most: number) => holds('maxItems', value => !Array.isArray(value) || value.length <= most),
  minLength: (least: number) => holds('minLength', value => typeof value !== 'string' || lengthOf(value, least) >= least),
  maxLength: (most: number) => holds('maxLength', value => typeof value !== 'string' || lengthOf(value, most) <= most),
  pattern: (source: string) => {
    const pattern = new RegExp(source, 'u');
    const matched = new Set<string>();
    return holds('pattern', value => {
      if (typeof value !== 'string' || matched.has(value)) {
        return true;
      }
      const good = pattern.test(value);
      if (good && value.length > LONG_TEXT) {
        if (matched.size >= MAX_REMEMBERED) {
          matched.clear();
        }
        matched.add(value);
      }
      return good;
    });
  },
  minimum: (least: number) => holds('minimum', value => typeof value !== 'number' || value >= least),
  maximum: (most: number) => holds('maximum', value => typeof value !== 'number' || value <= most)
};

const TYPES: Record<string, (value: unknown) => boolean> = {
  null: value => value === null,
  array: Array.isArray,
  object: isRecord,
  integer: Number.isInteger,
  string: value => typeof value === 'string',
  number: value => typeof value === 'number',
  boolean: value => typeof value === 'boolean'
};

function holds(rule: string, test: (value: unknown) => boolean): Check {
  const fault: Fault = { where: '', rule };
  return value => (test(value) ? null : fault);
}

function inside(name: string, fault: Fault): Fault {
  return { where: fault.where ? `${name}.${fault.where}` : name, rule: fault.rule };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Code points, as JSON Schema counts; UTF-16 units where these are few enough anyway. */
function lengthOf(text: string, bound: number): number {
  return text.length < bound ? text.length : [...text].length;
}
