/** The transmission phase with replies sent straight from their memory, where the addon is built. */
import { transmissionContract } from './transmission-contract';

transmissionContract();
