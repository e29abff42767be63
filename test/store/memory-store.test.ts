/** The memory store keeps the contract. */
import { MemoryStore } from '../../lib/store/memory-store';
import { chunkStoreContract } from './contract';

chunkStoreContract((chunkBytes) => new MemoryStore(chunkBytes));
