/** Some of a table's entries, for a program whose user may name which to run. */

/**
 * In the table's order; all of them where none is named. `what` the entries are, for the sentence
 * that refuses a name.
 */
export function chosen<Entry>(
  what: string,
  table: Readonly<Record<string, Entry>>,
  names: readonly string[],
): readonly (readonly [string, Entry])[] {
  const unknown = names.filter((name) => !Object.hasOwn(table, name));
  if (unknown.length > 0) {
    throw new Error(`no ${what} ${unknown.join(', ')}; there are ${Object.keys(table).join(', ')}`);
  }
  return Object.entries(table).filter(([name]) => names.length === 0 || names.includes(name));
}

/** The cases that the environment's CASE names, separated by blanks. */
export function chosenCases<Case>(
  cases: Readonly<Record<string, Case>>,
  env: Readonly<Record<string, string | undefined>> = process.env,
): readonly (readonly [string, Case])[] {
  return chosen('case', cases, (env.CASE ?? '').split(' ').filter(Boolean));
}
