/** Reads JSON that carries a version, and refuses what it does not know. */
import { z } from 'zod/v3';
import { TapdiskError } from '../errors';

export interface JsonFormat {
  /** Where the text came from, for the sentence. */
  readonly path: string;
  readonly version: number;
  /** Of the error codes: `RECORD` gives RECORD_CORRUPT and RECORD_VERSION_UNKNOWN. */
  readonly codePrefix: string;
  /** What the `magic` field must hold, where the format has one. */
  readonly magic?: string;
}

/** @throws TapdiskError `…_CORRUPT` (not JSON, wrong magic, wrong fields), `…_VERSION_UNKNOWN` */
export function parseJson<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  format: JsonFormat,
): z.infer<Schema> {
  const value = parseText(text, format) as { magic?: unknown; version?: unknown } | null;
  if (format.magic !== undefined && value?.magic !== format.magic) {
    throw corruptJson(format, `its "magic" is not "${format.magic}"`);
  }
  // The version comes first: a newer format is no damage, and its fields are not ours to judge.
  if (typeof value?.version === 'number' && value.version !== format.version) {
    throw new TapdiskError(
      `${format.codePrefix}_VERSION_UNKNOWN`,
      `${format.path} has format version ${value.version} and this program knows only ` +
        `${format.version}; use the program that wrote it, or a newer one`,
    );
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as z.infer<Schema>;
  const issue = parsed.error.issues[0];
  const field = issue.path.length === 0 ? '' : `"${issue.path.join('.')}": `;
  throw corruptJson(format, field + issue.message);
}

function parseText(text: string, format: JsonFormat): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw corruptJson(format, 'it is not JSON', error);
  }
}

/** The refusal of a damaged file, for checks beyond its schema. */
export function corruptJson(format: JsonFormat, why: string, cause?: unknown): TapdiskError {
  return new TapdiskError(
    `${format.codePrefix}_CORRUPT`,
    `${format.path} is damaged (${why}); it was left as it is, restore it from a backup`,
    { cause },
  );
}
