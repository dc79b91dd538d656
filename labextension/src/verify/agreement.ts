/**
 * The agreement claim: n of m independent hosts gave the same answer (attack 30).
 *
 * One host, or one owner, counts once however often it answers. That hosts differ is nobody's fault: the claim is then
 * missing, never failed.
 */

import { sha256Hex, utf8 } from '../crypto/bytes';
import { canonicalJson, MalformedMessage, parseStrict } from '../base/json';
import { AgreementMember, AgreementPart } from '../receipt/receipt';
import { Trust } from './trust';
import { basisOf, Claim, Evidence, failed, isProblem, missing, notApplicable, passed } from './shared';

/** Most hosts that are asked at once. */
const MAX_MEMBERS = 64;
export const COUNTED: ReadonlySet<string> = new Set(['VERIFIED', 'PARTIAL']);
/** What Python's `str.split` takes for white space. */
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

type Key = 'text_sha256' | 'normal_sha256' | 'json_sha256';

/** The strictest first. */
const WAYS: readonly [way: string, words: string, key: Key][] = [
  ['exact', 'the same answer, byte for byte', 'text_sha256'],
  ['normalised', 'the same answer, but for white space', 'normal_sha256'],
  ['json', 'the same answer, as JSON by value', 'json_sha256']
];

/** Whether this answer is that of `quorum` independent hosts. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { agreement } = evidence.receipt;
  if (agreement === null) {
    return notApplicable('agreement', 'One host was asked.', 'one-host', 'only this host was asked');
  }
  const base = { asked: agreement.asked, quorum: agreement.quorum, group: agreement.group };
  const own = ownMember(evidence, agreement);
  if (Array.isArray(own)) {
    return failed('agreement', 'proven', "The comparison with other hosts is not this answer's.", ...own, base);
  }
  const { contradicted } = evidence.seen;
  if (contradicted) {
    const sentence = 'The hosts that were compared are not those of the registry that was asked.';
    return failed('agreement', basisOf('registry', trust), sentence, 'other-owner', contradicted, base);
  }
  const counted = agreement.answers.filter(member => COUNTED.has(member.verdict));
  const facts = {
    ...base,
    not_counted: agreement.answers.filter(member => !COUNTED.has(member.verdict)).map(member => member.receipt)
  };
  let most = 0;
  let outvoted = false;
  for (const [way, words, key] of WAYS) {
    const groups = groupsOf(counted, key);
    const votes = new Map([...groups].map(([answer, members]) => [answer, independent(members)]));
    const mine = votes.get(own[key] ?? '') ?? 0;
    if (mine >= agreement.quorum) {
      const sentence = `${mine} of ${agreement.asked} independent hosts gave ${words}.`;
      return passed('agreement', basisOf('agreement', trust), sentence, { ...facts, way, agree: mine, groups: ids(groups) });
    }
    most = Math.max(most, mine);
    outvoted ||= [...votes.values()].some(count => count >= agreement.quorum);
  }
  const told = { ...facts, way: 'normalised', agree: most, groups: ids(groupsOf(counted, 'normal_sha256')) };
  const reason = `${most} of ${agreement.asked} gave this answer, ${agreement.quorum} must`;
  return outvoted
    ? missing('agreement', 'The other hosts agree on another answer.', 'outvoted', reason, told)
    : missing('agreement', 'The hosts disagree.', 'hosts-disagree', reason, told);
}

/** This answer among the others; or code and reason where the evidence contradicts itself, or is about another answer. */
function ownMember(evidence: Evidence, agreement: AgreementPart): AgreementMember | [string, string] {
  const { answers, asked, quorum } = agreement;
  if (answers.length < 1 || answers.length > asked || asked > MAX_MEMBERS) {
    return ['format', `${answers.length} answers of ${asked} hosts`];
  }
  if (quorum < 1 || quorum > asked) {
    return ['format', `a quorum of ${quorum} of ${asked}`];
  }
  const { fields } = evidence;
  if (isProblem(fields)) {
    return ['not-ours', `this answer is not signed: ${fields.message}`];
  }
  const own = answers.filter(member => member.tee_id.toLowerCase() === fields.teeId.toLowerCase());
  if (!own.length) {
    return ['not-ours', 'the host of this answer is not among those that were compared'];
  }
  const hashes = textHashes(evidence.shown);
  if (!own.some(member => WAYS.every(([, , key]) => member[key] === hashes[key]))) {
    return ['not-ours', 'the answer that was compared is not this one'];
  }
  return own.find(member => member.text_sha256 === hashes.text_sha256)!;
}

export function textHashes(text: string | null): Record<Key, string | null> {
  if (text === null) {
    return { text_sha256: null, normal_sha256: null, json_sha256: null };
  }
  return {
    text_sha256: sha256Hex(utf8(text)),
    normal_sha256: sha256Hex(utf8(normalise(text))),
    json_sha256: jsonHash(text)
  };
}

/** Unicode form NFC; every run of white space is one space, none at the ends. */
function normalise(text: string): string {
  return text
    .normalize('NFC')
    .split(SPACE)
    .filter(piece => piece !== '')
    .join(' ');
}

function jsonHash(text: string): string | null {
  try {
    return sha256Hex(utf8(canonicalJson(parseStrict(text))));
  } catch (error) {
    if (error instanceof MalformedMessage || error instanceof RangeError) {
      // Not JSON, or with numbers that have no exact form.
      return null;
    }
    throw error;
  }
}

/** How many independent hosts these are: what shares a host or an owner, even by way of a third, counts once. */
export function independent(members: readonly AgreementMember[]): number {
  let groups: Set<string>[] = [];
  for (const member of members) {
    const names = new Set([`host ${member.tee_id.toLowerCase()}`, `owner ${member.owner.toLowerCase()}`]);
    const apart: Set<string>[] = [];
    for (const group of groups) {
      if ([...names].some(name => group.has(name))) {
        group.forEach(name => names.add(name));
      } else {
        apart.push(group);
      }
    }
    groups = [...apart, names];
  }
  return groups.length;
}

function groupsOf(members: readonly AgreementMember[], key: Key): Map<string, AgreementMember[]> {
  const groups = new Map<string, AgreementMember[]>();
  for (const member of members) {
    const answer = member[key];
    if (answer !== null) {
      groups.set(answer, [...(groups.get(answer) ?? []), member]);
    }
  }
  return groups;
}

function ids(groups: ReadonlyMap<string, readonly AgreementMember[]>): string[][] {
  return [...groups.values()].map(members => members.map(member => member.receipt));
}
