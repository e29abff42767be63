/** The transmission phase through Node's own streams, as without the addon and under TLS. */
import { concurrencyContract } from './concurrency-contract';
import { transmissionContract } from './transmission-contract';

jest.mock('../../../lib/frontend/nbd/adopt-socket', () => ({ adoptSocket: () => null }));

transmissionContract();
concurrencyContract();
