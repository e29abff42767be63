/** Where a layer's chunks lie in a directory store: layers/LLLLLLLL/EEEEEEEE, both in hex. */
import { join } from 'node:path';

const HEX_DIGITS = 8;

/** The directory of one layer's extent files. */
export function layerDirectory(directory: string, layer: number): string {
  return join(directory, 'layers', layer.toString(16).padStart(HEX_DIGITS, '0'));
}

/** One extent file: bytes [extent × EXTENT_BYTES, …) of a layer, sparse. */
export function extentPath(directory: string, layer: number, extent: number): string {
  return join(layerDirectory(directory, layer), extent.toString(16).padStart(HEX_DIGITS, '0'));
}
