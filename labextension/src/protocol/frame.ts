/** The signed fields of an answer, read strictly (attacks 13 and 15). */

import { fromBase64, fromHex } from '../crypto/bytes';
import { AMBIGUOUS, isObject, Json, JsonObject, MalformedMessage, parseStrict } from '../base/json';

/** What is wrong with a response: a code for programs, a message for people. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

/** What a host signed; `teeId` says whose key, and is not covered itself. */
export interface SignedFields {
  readonly requestHash: Uint8Array;
  readonly outputHash: Uint8Array;
  /** Unix seconds. */
  readonly timestamp: bigint;
  readonly teeId: string;
  readonly signature: Uint8Array;
}

const SIGNED_KEYS = ['tee_signature', 'tee_request_hash', 'tee_output_hash', 'tee_timestamp', 'tee_id'];
const HASH = /^[0-9a-f]{64}$/;
const TEE_ID = /^0x[0-9a-f]{64}$/;
const UINT256 = 1n << 256n;
/** The longest signature worth decoding: RSA-16384. */
const MAX_SIGNATURE_CHARS = 2740;

export function isProblem(value: SignedFields | Problem): value is Problem {
  return 'code' in value;
}

/** The parsed frame where it can be read, and its signed fields or what is wrong with them. */
export interface Frame {
  readonly message: JsonObject | null;
  readonly fields: SignedFields | Problem;
}

export function readFrame(text: string): Frame {
  let message: Json;
  try {
    message = parseStrict(text);
  } catch (error) {
    if (!(error instanceof MalformedMessage)) {
      throw error;
    }
    const code = error.code === AMBIGUOUS ? AMBIGUOUS : 'format';
    return { message: null, fields: { code, message: error.message } };
  }
  if (!isObject(message)) {
    return { message: null, fields: { code: 'format', message: 'the signed frame is not a JSON object' } };
  }
  return { message, fields: signedFields(message) };
}

function signedFields(message: JsonObject): SignedFields | Problem {
  if (!SIGNED_KEYS.some(key => (message.get(key) ?? null) !== null)) {
    return { code: 'unsigned', message: 'the host did not sign this answer' };
  }
  const format = (what: string): Problem => ({ code: 'format', message: what });
  const [requestHash, outputHash] = ['tee_request_hash', 'tee_output_hash'].map(key => message.get(key));
  if (typeof requestHash !== 'string' || !HASH.test(requestHash)) {
    return format('tee_request_hash is not 64 lower-case hex digits');
  }
  if (typeof outputHash !== 'string' || !HASH.test(outputHash)) {
    return format('tee_output_hash is not 64 lower-case hex digits');
  }
  const timestamp = message.get('tee_timestamp');
  if (typeof timestamp !== 'bigint' || timestamp < 0n || timestamp >= UINT256) {
    return format('tee_timestamp is not a whole number of seconds in 0 … 2^256 − 1');
  }
  const teeId = message.get('tee_id');
  if (typeof teeId !== 'string' || !TEE_ID.test(teeId)) {
    return format('tee_id is not 0x and 64 lower-case hex digits');
  }
  const text = message.get('tee_signature');
  const signature = typeof text === 'string' && text && text.length <= MAX_SIGNATURE_CHARS ? fromBase64(text) : null;
  if (signature === null) {
    return format('tee_signature is not canonical base64');
  }
  return { requestHash: fromHex(requestHash), outputHash: fromHex(outputHash), timestamp, teeId, signature };
}
