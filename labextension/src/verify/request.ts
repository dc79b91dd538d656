/** The request claim: the host signed the request that was sent. */

import { canonicalise, canonicalisers, NEWER, rulesOf, textHash, TRANSPORT, unsignedParts } from '../protocol/canonical';
import { equal, toHex } from '../crypto/bytes';
import { isObject, JsonObject, MalformedMessage, parseStrict } from '../base/json';
import { Claim, Evidence, failed, isProblem, missing, passed } from './shared';

/**
 * Recompute the canonical request from the JSON text that was sent, and compare its hash with the signed one. All known
 * versions of the rules are tried, the recorded one first.
 */
export function check(evidence: Evidence): Claim {
  const { request } = evidence.receipt;
  let body: JsonObject;
  try {
    const parsed = parseStrict(request.body);
    if (!isObject(parsed)) {
      throw new MalformedMessage('the request is not a JSON object', 'request');
    }
    body = parsed;
  } catch (error) {
    return refusal('The request cannot be read in one way only.', error);
  }
  let forms: [string, string][];
  try {
    forms = versions(request, body).map(version => [version, canonicalise(request.kind, body, version)]);
  } catch (error) {
    return refusal('No host takes such a request.', error);
  }
  if (!forms.some(([, text]) => text === request.canonical)) {
    return failed(
      'request',
      'proven',
      'The recorded request does not fit itself.',
      'canonical-differs',
      'the canonical request kept is not that of the JSON kept'
    );
  }
  const { fields } = evidence;
  if (isProblem(fields)) {
    return missing('request', 'Nothing signed says which request was answered.', fields.code, fields.message);
  }
  const signed = toHex(fields.requestHash);
  for (const [version, text] of forms) {
    if (equal(textHash(text), fields.requestHash)) {
      const unsigned = unsignedParts(request.kind, body, version);
      return passed('request', 'proven', sentence(unsigned), {
        canonicaliser: version,
        request_hash: signed,
        not_signed: unsigned,
        attachments_by_name: rulesOf(version) === NEWER && hasAttachments(body)
      });
    }
  }
  return failed(
    'request',
    'proven',
    'The host signed another request than the one that was sent.',
    'other-request',
    `the host signed the hash ${signed.slice(0, 8)}…, which is not this request's`,
    { request_hash: signed }
  );
}

/** So many parts that no signature covers are named in the sentence. */
const MOST_NAMED = 12;

function sentence(parts: readonly string[]): string {
  const unsigned = parts.filter(name => !TRANSPORT.has(name));
  if (unsigned.length === 0) {
    return 'The host signed the request that was sent.';
  }
  const more = unsigned.length > MOST_NAMED ? ` and ${unsigned.length - MOST_NAMED} more` : '';
  return `The host signed the request, but not all of it: no signature covers ${unsigned.slice(0, MOST_NAMED).join(', ')}${more}.`;
}

function refusal(sentence: string, error: unknown): Claim {
  if (error instanceof MalformedMessage) {
    return failed('request', 'proven', sentence, error.code, error.message);
  }
  throw error;
}

function versions(request: { kind: 'chat' | 'completion'; canonicaliser: string }, body: JsonObject): string[] {
  const known = canonicalisers(request.kind, body);
  return [...known.filter(one => one === request.canonicaliser), ...known.filter(one => one !== request.canonicaliser)];
}

function hasAttachments(body: JsonObject): boolean {
  const messages = body.get('messages');
  return (
    Array.isArray(messages) &&
    messages.some(message => {
      const content = isObject(message) ? message.get('content') : null;
      return Array.isArray(content) && content.some(part => !isObject(part) || part.get('type') !== 'text');
    })
  );
}
