/** An integer in JSON that a file, a key or a socket carries: one that a number holds exactly. */
import { z } from 'zod/v3';

export const integer = z.number().int().safe();
