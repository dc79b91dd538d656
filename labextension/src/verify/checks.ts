/** Written by scripts/vocabulary.py from opg_magic/models/claims.py: do not edit. */

import { check as agreement } from './agreement';
import { check as attestation } from './attestation';
import { check as channel } from './channel';
import { check as freshness } from './freshness';
import { check as payment } from './payment';
import { check as registry } from './registry';
import { check as request } from './request';
import { check as response } from './response';
import { check as settlement } from './settlement';
import { check as signature } from './signature';
import { check as weights } from './weights';
import { Claim, Evidence } from './shared';
import { ClaimName } from '../base/claims';
import { Trust } from './trust';

export type Check = (evidence: Evidence, trust: Trust) => Claim | Promise<Claim>;

export const CHECKS: Readonly<Record<ClaimName, Check>> = {
  request,
  response,
  signature,
  freshness,
  attestation,
  registry,
  channel,
  payment,
  settlement,
  agreement,
  weights
};
