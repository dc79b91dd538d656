/**
 * Receipts of one file that tell of each other (`tests/corpus/files.py`): of each, the browser must say what `opg verify`
 * says, asked and not asked.
 */

import { readFileSync } from 'node:fs';

import { agreementFindings } from '../verify/agreeing';
import { Checker, relate } from '../audit/check';
import { computedDigest, readReceipt, Receipt, RegistryPart } from '../receipt/receipt';

interface Line {
  name: string;
  receipts: unknown[];
  roots: string[];
  asked: Record<string, { registry: RegistryPart } | { problem: string } | { disagreement: string }> | null;
  said: Record<string, unknown>;
}

const TOGETHER: readonly string[] = ['agreement-differs', 'rpcs-disagree', 'registry-not-asked'];

// Without the variable this file is left out (jest.config.js): `pytest tests/corpus` sets it.
const lines = readFileSync(process.env.OPG_FILES!, 'utf8')
  .split('\n')
  .filter(line => line !== '')
  .map(line => JSON.parse(line) as Line);

test.each(lines.map(line => [line.name, line] as const))('%s', async (_, { receipts: documents, roots, asked, said }) => {
  const checker = new Checker();
  checker.knowRoots(roots);
  checker.setRegistry(async (receipt: Receipt) => {
    const answer = asked![receipt.host!.tee_id];
    if ('problem' in answer) {
      throw new Error(answer.problem);
    }
    return 'registry' in answer ? answer.registry : { ...receipt.registry!, disagreement: answer.disagreement };
  });
  const receipts = documents.map(document => readReceipt(document));
  const seen = relate(receipts);
  if (asked !== null) {
    await checker.askRegistry(receipts);
  }
  const found: Record<string, unknown> = {};
  const together = agreementFindings(receipts);
  for (const [index, receipt] of receipts.entries()) {
    const judged = await checker.judgeRead(receipt, seen.get(computedDigest(receipt)));
    const { verdict } = judged;
    const findings = [...judged.findings, ...(together[index] === null ? [] : [together[index]])];
    const { claims, label } = verdict!;
    found[receipt.id] = {
      label,
      agreement: [claims.agreement.status, claims.agreement.basis, claims.agreement.code],
      bases: Object.fromEntries(Object.values(claims).map(({ name, basis }) => [name, basis])),
      findings: findings
        .filter(({ code }) => TOGETHER.includes(code))
        .map(({ level, code, message }) => `${level} ${code}: ${message}`)
        .sort()
    };
  }
  expect(found).toEqual(said);
});
