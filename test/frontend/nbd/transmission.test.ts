/** The transmission phase with replies sent straight from their memory, where the addon is built. */
import { concurrencyContract } from './concurrency-contract';
import { transmissionContract } from './transmission-contract';

transmissionContract();
concurrencyContract();
