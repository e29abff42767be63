/** The ring's public names. */
export type { RingAbi, RingAbiName } from './abi';
export { ABI_BLKTAP2 } from './abi-blktap2';
export { ABI_NATIVE } from './abi-native';
export { ABI_X86_32 } from './abi-x86-32';
export { BackRing, type BackRingOptions } from './back-ring';
export { checkHeader, checkRequest, type RequestLimits } from './check-request';
export { FrontRing, type FrontRingOptions } from './front-ring';
export { JournaledBackRing } from './journaled-back-ring';
export * from './layout';
export * from './limits';
export * from './operations';
export { journalBytes, RingJournal } from './ring-journal';
export { RingRequest } from './ring-request';
export { RingResponse } from './ring-response';
export { RingStopped, type RingStoppedCode } from './ring-stopped';
export { initialiseSharedRing } from './shared-ring';
