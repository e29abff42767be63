/** The parts of tapdisk-ts that other programs may build on. */
export { TapdiskError } from './errors';
export * from './ring';
export { Vbd } from './vbd/vbd';
export type { BlockDevice } from './vbd/block-device';
export type { RequestObserver } from './vbd/observer';
export { Volume } from './volume/volume';
export type { ChunkStore } from './store/chunk-store';
export type { Attachment, Coordination, MapStorage } from './coordination/coordination';
