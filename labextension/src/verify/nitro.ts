/** A Nitro attestation document's payload: its fields, each of exactly the type and size that the hypervisor writes. */

import { concat, keccak256, toHex } from '../crypto/bytes';
import { Cbor, CborMap } from '../crypto/cbor';
import { MalformedMessage } from '../base/json';

const PCR_BYTES = 48;
/** `12 20` (multihash: SHA2-256, 32 bytes), then the hash; once for the certificate, once for the key. */
const USER_DATA_BYTES = 68;
const MAX_CERTIFICATE = 4096;
const MAX_BUNDLE = 8;
const MAX_PCRS = 32;
const MAX_FIELD = 1024;
const MAX_MODULE_ID = 256;
/** The last millisecond of the year 9999. */
const MAX_TIMESTAMP_MS = 253_402_300_799_999n;

/** The payload of one document. Hashes are lower-case hex, `pcrHash` with 0x. */
export interface AttestationDocument {
  readonly moduleId: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly certificate: Uint8Array;
  readonly cabundle: readonly Uint8Array[];
  readonly nonce: Uint8Array | null;
  readonly pcrHash: string;
  readonly tlsCertificateSha256: string | null;
  readonly signingKeySha256: string | null;
}

const NEEDED = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle'];

function wrongField(what: string): MalformedMessage {
  return new MalformedMessage(what, 'field');
}

/** The fields, each of exactly the type and size that the Nitro document has. */
export function readPayload(payload: CborMap): AttestationDocument {
  if (!NEEDED.some(name => payload.has(name))) {
    throw new MalformedMessage('the payload is not a Nitro document', 'not-nitro');
  }
  for (const name of NEEDED) {
    if (!payload.has(name)) {
      throw wrongField(`${name} is missing`);
    }
  }
  const moduleId = payload.get('module_id');
  if (typeof moduleId !== 'string' || !moduleId || [...moduleId].length > MAX_MODULE_ID) {
    throw wrongField('module_id is not a short text');
  }
  if (!/^[ -~]*$/.test(moduleId)) {
    throw wrongField('module_id holds more than printable ASCII');
  }
  if (payload.get('digest') !== 'SHA384') {
    throw wrongField('digest is not SHA384');
  }
  const timestamp = payload.get('timestamp');
  if (typeof timestamp !== 'bigint' || timestamp <= 0n || timestamp > MAX_TIMESTAMP_MS) {
    throw wrongField('timestamp is not a time in milliseconds');
  }
  const pcrs = readPcrs(payload.get('pcrs'));
  const certificate = certificateBytes(payload.get('certificate'), 'certificate');
  const bundle = payload.get('cabundle');
  if (!Array.isArray(bundle) || !bundle.length || bundle.length > MAX_BUNDLE) {
    throw wrongField(`cabundle is not a list of 1 to ${MAX_BUNDLE} certificates`);
  }
  const cabundle = bundle.map((item, i) => certificateBytes(item, `cabundle[${i}]`));
  const userData = optional(payload, 'user_data');
  const bound = userData === null ? null : readBinding(userData);
  optional(payload, 'public_key');
  return {
    moduleId,
    timestamp: Number(timestamp),
    pcrs,
    certificate,
    cabundle,
    nonce: optional(payload, 'nonce'),
    pcrHash: `0x${toHex(keccak256(concat(pcrs.get(0)!, pcrs.get(1)!, pcrs.get(2)!)))}`,
    tlsCertificateSha256: bound?.tls ?? null,
    signingKeySha256: bound?.key ?? null
  };
}

function readPcrs(value: Cbor): Map<number, Uint8Array> {
  if (!(value instanceof CborMap) || !value.size || value.size > MAX_PCRS) {
    throw wrongField('pcrs is not a map of 1 to 32 entries');
  }
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, bytes] of value.entries.values()) {
    if (typeof index !== 'bigint' || index < 0n || index >= BigInt(MAX_PCRS)) {
      throw wrongField('pcrs has a key that is not an index from 0 to 31');
    }
    if (!(bytes instanceof Uint8Array) || bytes.length !== PCR_BYTES) {
      throw wrongField(`PCR${index} does not have ${PCR_BYTES} bytes`);
    }
    pcrs.set(Number(index), bytes);
  }
  for (const index of [0, 1, 2]) {
    if (!pcrs.has(index)) {
      throw wrongField(`PCR${index} is missing`);
    }
  }
  return pcrs;
}

function certificateBytes(value: Cbor, name: string): Uint8Array {
  if (!(value instanceof Uint8Array) || !value.length || value.length > MAX_CERTIFICATE) {
    throw wrongField(`${name} is not a certificate of 1 to ${MAX_CERTIFICATE} bytes`);
  }
  return value;
}

function optional(payload: CborMap, name: string): Uint8Array | null {
  if (!payload.has(name)) {
    return null;
  }
  const value = payload.get(name);
  if (value === null) {
    return null;
  }
  if (!(value instanceof Uint8Array) || value.length > MAX_FIELD) {
    throw wrongField(`${name} is not a byte string of at most ${MAX_FIELD} bytes`);
  }
  return value;
}

function readBinding(userData: Uint8Array): { tls: string; key: string } | null {
  const text = toHex(userData);
  if (userData.length !== USER_DATA_BYTES || text.slice(0, 4) !== '1220' || text.slice(68, 72) !== '1220') {
    return null;
  }
  return { tls: text.slice(4, 68), key: text.slice(72) };
}
