import { describeCoordination } from '../contract';
import { makeLocalPool } from './local-pool';

describeCoordination('local', makeLocalPool);
