/** What pools and volumes may be called: names that are safe in a path, a shell and an etcd key. */
import { TapdiskError } from '../errors';

/** Longest name; LVM's limit as well, and well below a file name's. */
export const NAME_LENGTH_MAX = 127;

/** Returns the name. @throws TapdiskError NAME_INVALID that names the first bad character. */
export function checkName(what: 'pool' | 'volume', name: string): string {
  const refuse = (why: string) =>
    new TapdiskError(
      'NAME_INVALID',
      `${what} name ${JSON.stringify(name.slice(0, NAME_LENGTH_MAX + 1))} ${why}; ` +
        'use letters, digits and + _ . - with a letter or digit first',
    );
  if (name === '') throw refuse('is empty');
  const bad = /[^A-Za-z0-9+_.-]/u.exec(name);
  if (bad !== null) throw refuse(`has ${showCharacter(bad[0])} at position ${bad.index + 1}`);
  if (!/^[A-Za-z0-9]/.test(name)) throw refuse(`begins with ${showCharacter(name[0])}`);
  if (name.length > NAME_LENGTH_MAX) {
    throw refuse(`is ${name.length} characters long, more than ${NAME_LENGTH_MAX}`);
  }
  return name;
}

function showCharacter(character: string): string {
  if (character === ' ') return 'a space';
  const codePoint = `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(character) ? `"${character}" (${codePoint})` : codePoint;
}
