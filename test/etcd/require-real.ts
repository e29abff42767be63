/** Tests on a real etcd run where `make test-etcd` asks for them, and say why where they do not. */
import { describeWhere } from '../where';
import { missingPrograms } from './real-etcd';

function whyNot(): string | null {
  if (process.env.TAPDISK_TS_TEST_ETCD !== '1') return 'they start real clusters: make test-etcd';
  const missing = missingPrograms();
  return missing.length === 0 ? null : `for want of ${missing.join(', ')}: make test-etcd`;
}

export const whereRealEtcd = describeWhere(whyNot(), 'tests on a real etcd');
