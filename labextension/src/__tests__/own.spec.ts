/** @jest-environment jsdom */
import { Checker } from '../audit/check';
import { OwnLedger } from '../audit/own';
import { computedDigest } from '../receipt/receipt';
import { receipt } from './receipts';

const OWN = { asked: ['registry', 'channel'], at: '2026-05-04T12:00:02Z' };

describe('receipts of the user’s own kernels (attack 45)', () => {
  it('are asked for by the digest that was computed here, many at once', async () => {
    const [one, two] = [receipt(), receipt({ id: '7Q4K2M0001' })];
    const ask = jest.fn(async () => ({ [computedDigest(one)]: OWN }));
    const ledger = new OwnLedger(ask);
    expect(await Promise.all([ledger.of(one), ledger.of(two), ledger.of(one)])).toEqual([OWN, null, OWN]);
    expect(ask.mock.calls).toEqual([[[`${one.id}~${computedDigest(one)}`, `${two.id}~${computedDigest(two)}`]]]);
    expect(ledger.known(one)).toEqual(OWN);
    expect(ledger.known(two)).toBeNull();
  });

  it('do not lend their digest to another that states it', async () => {
    const own = receipt();
    const forged = { ...receipt({ prompt: { ...own.prompt, text: 'Another question' } }), digest: computedDigest(own) };
    const ledger = new OwnLedger(async asked => Object.fromEntries(asked.filter(one => one.endsWith(computedDigest(own))).map(() => [computedDigest(own), OWN])));
    expect(await ledger.of(forged)).toBeNull();
  });

  it('are nobody’s while the server does not tell, and are asked for again', async () => {
    const ask = jest.fn().mockRejectedValueOnce(new Error('gone')).mockResolvedValueOnce({ [computedDigest(receipt())]: OWN });
    const ledger = new OwnLedger(ask);
    expect(await ledger.of(receipt())).toBeNull();
    expect(ledger.known(receipt())).toBeUndefined();
    expect(await ledger.of(receipt())).toEqual(OWN);
  });

  it('are never asked for by an id that is none', async () => {
    const ask = jest.fn();
    expect(await new OwnLedger(ask).of(receipt({ id: '../status?' }))).toBeNull();
    expect(ask).not.toHaveBeenCalled();
  });

  it('count as asked in the verdict, and a stranger’s do not', async () => {
    const mine = receipt();
    const checker = new Checker();
    const before = await checker.judgeRead(mine);
    expect(before.own ?? null).toBeNull();
    checker.setLedger(async () => ({ [computedDigest(mine)]: OWN }));
    const after = await checker.judgeRead(mine);
    expect(after.own).toEqual(OWN);
    const other = await checker.judgeRead(receipt({ id: '7Q4K2M0009' }));
    expect(other.own).toBeNull();
    checker.setLedger(null);
    expect((await checker.judgeRead(mine)).own ?? null).toBeNull();
  });
});
