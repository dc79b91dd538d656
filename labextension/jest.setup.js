// jsdom has no WebCrypto, no text encoders, no message channel and no decompression of its own: Node lends its.
const { webcrypto } = require('node:crypto');
const { TextDecoder, TextEncoder } = require('node:util');
const { MessageChannel } = require('node:worker_threads');
const { DecompressionStream } = require('node:stream/web');

for (const [name, value] of Object.entries({ crypto: webcrypto, TextDecoder, TextEncoder, MessageChannel, DecompressionStream })) {
  if (globalThis[name] === undefined || (name === 'crypto' && globalThis.crypto.subtle === undefined)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
}
