/** The cases of `make test-xen`, in the order in which they run. */
import type { Case } from '../lab/case';
import { attachDomain } from './attach-domain';
import { besideBlkback, grants } from './beside-blkback';
import { blockAttach, fioVerify, scriptPv } from './by-xl';
import { destroyed, killDaemonCase, killDisk } from './deaths';
import { discard, resize, twoDisksTwoGuests } from './disks';
import { powerCut, saveRestore } from './ends';
import { etcdPool } from './etcd-pool';
import { hostile } from './hostile';
import { neverConnects } from './never-connects';
import { readOnly } from './read-only';
import { rings } from './rings';
import { comesAgain, x8632 } from './user-front-end';
import { xenbus } from './xenbus';

export const CASES: Readonly<Record<string, Case>> = {
  'script-pv': scriptPv,
  'fio-verify': fioVerify,
  'block-attach': blockAttach,
  'attach-domain': attachDomain,
  'kill-disk': killDisk,
  'kill-daemon': killDaemonCase,
  'read-only': readOnly,
  rings,
  xenbus,
  'never-connects': neverConnects,
  'x86-32': x8632,
  'comes-again': comesAgain,
  'two-guests': twoDisksTwoGuests,
  discard,
  resize,
  'save-restore': saveRestore,
  'power-cut': powerCut,
  hostile,
  'beside-blkback': besideBlkback,
  'etcd-pool': etcdPool,
  // It takes the guest that cases share with it.
  destroyed,
};

/** Those that run only where CASE names them. */
export const ON_DEMAND: Readonly<Record<string, Case>> = { grants };
