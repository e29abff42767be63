/** What this host offers, and what is missing for what: the findings that `doctor` shows. */
import { directoryFeatures } from './directory-features';
import { HostFiles } from './host-files';
import { processFeatures } from './process-features';
import { xenFeatures } from './xen-features';

/** One finding. */
export interface HostFeature {
  /** Short and stable: programs may look for it. */
  readonly name: string;
  readonly present: boolean;
  /** Nothing works without it. */
  readonly required: boolean;
  /** What was found, or why it is not there. */
  readonly found: string;
  /** What it serves, and what is to be done to have it where it is missing. */
  readonly missingFor: string;
}

/**
 * Looks at this host; changes nothing, but for a file that it makes and removes in `directory`,
 * where one is given to be looked at as a place for a pool.
 */
export function hostFeatures(directory?: string, files = new HostFiles()): HostFeature[] {
  return [
    ...processFeatures(files),
    ...xenFeatures(files),
    ...(directory === undefined ? [] : directoryFeatures(directory)),
  ];
}
