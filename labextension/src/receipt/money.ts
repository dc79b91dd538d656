/** Sums in base units, as people read them. */

import { MoneyPart, TokenPart } from './receipt';

/** Base units as a plain decimal number without exponent or trailing zeros, exact. */
export function formatUnits(amount: bigint, decimals: number): string {
  const sign = amount < 0n ? '-' : '';
  const digits = (amount < 0n ? -amount : amount).toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return `${sign}${whole}${fraction ? `.${fraction}` : ''}`;
}

/** `0.0041 OPG`, exact. */
export function formatMoney(amount: bigint, token: TokenPart): string {
  return `${formatUnits(amount, token.decimals)} ${token.symbol}`;
}

/** The same of a part of a receipt. */
export function formatPart(money: MoneyPart): string {
  return formatMoney(BigInt(money.amount), money.token);
}
