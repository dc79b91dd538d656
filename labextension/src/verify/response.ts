/** The response claim: the text shown is the text that was signed. */

import { textHash } from '../protocol/canonical';
import { equal, toHex } from '../crypto/bytes';
import { isObject, JsonObject, MalformedMessage, parseStrict, truthy } from '../base/json';
import { BadShape, finishReasonOf, isToolCallText, onlyChoice, readMessage, Told } from '../protocol/reply';
import { Claim, Evidence, failed, isProblem, missing, NOTHING_SIGNED, passed } from './shared';

/** What an answer carries beside its signed bytes: the host's word. */
export const NOT_SIGNED: readonly string[] = ['finish_reason', 'model', 'usage'];

const WHY: Record<string, string> = {
  truncated: 'The answer was cut short before it was signed.',
  framing: 'The answer does not have the form of an answer.',
  'ambiguous-json': 'The answer could be read in more than one way.',
  'too-large': 'The answer is too large to be read.',
  format: "The answer's signed fields do not have the right form.",
  'host-failure': 'The host reports failure: there is no answer.',
  'http-status': 'The host refused the request: there is no answer.',
  timeout: 'The answer did not come in time.',
  interrupted: 'The call was stopped before the answer was complete.',
  unsigned: 'The answer is complete but not signed.'
};

/** Compare the hash of what is shown with the signed one; what is shown must have exactly one reading. */
export function check(evidence: Evidence): Claim {
  const { response } = evidence.receipt;
  const { problem } = response;
  if (problem !== null) {
    const sentence = Object.hasOwn(WHY, problem.code) ? WHY[problem.code] : 'The answer could not be read.';
    return NOTHING_SIGNED.has(problem.code)
      ? missing('response', sentence, problem.code, problem.message)
      : failed('response', 'proven', sentence, problem.code, problem.message);
  }
  const { fields } = evidence;
  if (isProblem(fields)) {
    // Unreadable signed fields are the signature's fault, and named there.
    return missing('response', 'Nothing signed says what was answered.', fields.code, fields.message);
  }
  const fault = ambiguity(evidence) ?? frameDiffers(evidence);
  if (fault !== null) {
    return failed('response', 'proven', 'What is shown is not the one reading of the answer.', ...fault);
  }
  const digest = textHash(evidence.shown ?? '');
  if (!equal(digest, fields.outputHash)) {
    return failed(
      'response',
      'proven',
      'The answer shown is not the answer that was signed.',
      'other-output',
      'the text received is not the text that the host signed',
      { output_hash: toHex(digest) }
    );
  }
  return passed('response', 'proven', 'The answer shown is, byte for byte, the answer that was signed.', {
    output_hash: toHex(digest),
    reading: response.tool_calls === null ? 'text' : 'tool_calls',
    not_signed: response.unsigned_text ? [...NOT_SIGNED, 'text beside tool calls'] : NOT_SIGNED
  });
}

type CodeAndReason = [code: string, reason: string];

/**
 * Signed bytes do not say whether they are text or tool calls, and the finish reason is unsigned (attack 17). The rule
 * that leaves one reading: bytes that are a host's rendering of tool calls are tool calls where the request offered
 * tools, and text where it did not; all other bytes are text.
 */
function ambiguity(evidence: Evidence): CodeAndReason | null {
  const { response } = evidence.receipt;
  const calls = response.tool_calls !== null;
  const bad = (reason: string): CodeAndReason => ['ambiguous-reading', reason];
  if (calls === (response.text !== null)) {
    return bad('there must be either text or tool calls');
  }
  if (calls !== (response.finish_reason === 'tool_calls')) {
    const [told, found] = calls ? ['text', 'tool calls'] : ['tool calls', 'text'];
    return bad(`the finish reason says ${told}, the answer is ${found}`);
  }
  const offered = toolsOffered(evidence);
  if (response.tool_calls !== null) {
    if (!offered) {
      return bad('the answer calls tools, but the request offered none');
    }
    if (!isToolCallText(response.tool_calls)) {
      return bad('what is shown as tool calls is not one');
    }
  } else if (offered && isToolCallText(response.text ?? '')) {
    return bad('the text is a list of tool calls, and the request offered tools');
  }
  return null;
}

function toolsOffered(evidence: Evidence): boolean {
  const { request } = evidence.receipt;
  try {
    const body = parseStrict(request.body);
    return request.kind === 'chat' && isObject(body) && truthy(body.get('tools'));
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return false;
    }
    throw error;
  }
}

/** What is shown beside the frame must be what the frame says, as far as it says it. */
function frameDiffers(evidence: Evidence): CodeAndReason | null {
  const { response, request } = evidence.receipt;
  const message = evidence.frame?.message;
  if (message === null || message === undefined) {
    return null;
  }
  let told: Told;
  try {
    told = response.stream ? toldByStream(response, message) : readMessage(message, request.kind);
  } catch (error) {
    if (error instanceof BadShape) {
      return ['framing', error.message];
    }
    throw error;
  }
  const same =
    told.text === response.text && told.toolCalls === response.tool_calls && told.finishReason === response.finish_reason;
  return same ? null : ['frame-differs', 'what is shown is not what the signed frame says'];
}

function toldByStream(
  response: { text: string | null; tool_calls: string | null; finish_reason: string | null },
  message: JsonObject
): Told {
  // Of a stream the last chunk alone is kept: it tells the finish reason, where it does.
  const choice = onlyChoice(message);
  const finish = choice === null ? null : finishReasonOf(choice);
  return { text: response.text, toolCalls: response.tool_calls, finishReason: finish ?? response.finish_reason };
}
