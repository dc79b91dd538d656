/** The part of JSON Schema (draft 2020-12) that the receipt's schema uses, and no more: an unknown keyword throws. */

export interface Fault {
  /** Where, as in `response.text`; empty at the top. */
  readonly where: string;
  readonly rule: string;
}

type Schema = Record<string, unknown>;
type Check = (value: unknown, rule: unknown, schema: Schema, root: Schema) => Fault | null;

/** Keywords that say nothing about a value, or are heeded by their neighbours. */
const SILENT = new Set(['$schema', '$id', '$defs', 'title', 'description']);

const patterns = new Map<string, RegExp>();

/** The first thing in which `value` differs from the schema, or null. */
export function faultOf(value: unknown, schema: Schema, root: Schema = schema): Fault | null {
  for (const keyword in schema) {
    const check = CHECKS[keyword];
    if (check === undefined) {
      if (SILENT.has(keyword)) {
        continue;
      }
      throw new Error(`the schema uses ${keyword}, which is not implemented`);
    }
    const fault = check(value, schema[keyword], schema, root);
    if (fault !== null) {
      return fault;
    }
  }
  return null;
}

const CHECKS: Record<string, Check> = {
  $ref: (value, ref, _, root) => faultOf(value, definition(ref as string, root), root),
  type: (value, types) => here([types].flat().some(type => isOfType(value, type as string)), 'type'),
  const: (value, wanted) => here(value === wanted, 'const'),
  enum: (value, allowed) => here((allowed as unknown[]).includes(value), 'enum'),
  oneOf: (value, branches, _, root) => {
    const faults = (branches as Schema[]).map(branch => faultOf(value, branch, root));
    const holding = faults.filter(fault => fault === null).length;
    // The fault of the branch that came furthest tells a person most.
    const deepest = faults.reduce((best, fault) => ((fault?.where.length ?? 0) > (best?.where.length ?? 0) ? fault : best), null);
    return holding === 1 ? null : (deepest ?? { where: '', rule: 'oneOf' });
  },
  required: (value, names) => (isRecord(value) ? here((names as string[]).every(name => Object.hasOwn(value, name)), 'required') : null),
  properties: (value, known, _, root) => {
    if (!isRecord(value)) {
      return null;
    }
    for (const name in known as Record<string, Schema>) {
      if (Object.hasOwn(value, name)) {
        const fault = faultOf(value[name], (known as Record<string, Schema>)[name], root);
        if (fault !== null) {
          return inside(name, fault);
        }
      }
    }
    return null;
  },
  additionalProperties: (value, rule, schema, root) => {
    if (!isRecord(value)) {
      return null;
    }
    const known = (schema.properties ?? {}) as Record<string, Schema>;
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(known, name)) {
        const fault = rule === false ? { where: '', rule: 'additionalProperties' } : faultOf(value[name], rule as Schema, root);
        if (fault !== null) {
          return inside(name, fault);
        }
      }
    }
    return null;
  },
  propertyNames: (value, rule, _, root) => {
    for (const name of isRecord(value) ? Object.keys(value) : []) {
      const fault = faultOf(name, rule as Schema, root);
      if (fault !== null) {
        return fault;
      }
    }
    return null;
  },
  items: (value, rule, _, root) => {
    for (const [index, item] of Array.isArray(value) ? value.entries() : []) {
      const fault = faultOf(item, rule as Schema, root);
      if (fault !== null) {
        return inside(String(index), fault);
      }
    }
    return null;
  },
  maxProperties: (value, most) => here(!isRecord(value) || Object.keys(value).length <= (most as number), 'maxProperties'),
  minItems: (value, least) => here(!Array.isArray(value) || value.length >= (least as number), 'minItems'),
  maxItems: (value, most) => here(!Array.isArray(value) || value.length <= (most as number), 'maxItems'),
  minLength: (value, least) => here(typeof value !== 'string' || lengthOf(value, least as number) >= (least as number), 'minLength'),
  maxLength: (value, most) => here(typeof value !== 'string' || lengthOf(value, most as number) <= (most as number), 'maxLength'),
  pattern: (value, source) => here(typeof value !== 'string' || pattern(source as string).test(value), 'pattern'),
  minimum: (value, least) => here(typeof value !== 'number' || value >= (least as number), 'minimum'),
  maximum: (value, most) => here(typeof value !== 'number' || value <= (most as number), 'maximum')
};

function here(holds: boolean, rule: string): Fault | null {
  return holds ? null : { where: '', rule };
}

function inside(name: string, fault: Fault): Fault {
  return { where: fault.where ? `${name}.${fault.where}` : name, rule: fault.rule };
}

function definition(ref: string, root: Schema): Schema {
  const found = (root.$defs as Record<string, Schema> | undefined)?.[ref.replace('#/$defs/', '')];
  if (found === undefined) {
    throw new Error(`the schema refers to ${ref}, which is not there`);
  }
  return found;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isRecord(value);
    case 'integer':
      return Number.isInteger(value);
  }
  return typeof value === type;
}

/** Code points, as JSON Schema counts; UTF-16 units where these are few enough anyway. */
function lengthOf(text: string, bound: number): number {
  return text.length < bound ? text.length : [...text].length;
}

function pattern(source: string): RegExp {
  let found = patterns.get(source);
  if (found === undefined) {
    found = new RegExp(source, 'u');
    patterns.set(source, found);
  }
  return found;
}
