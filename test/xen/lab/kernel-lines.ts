/** What a kernel of the lab said, by what it is looked through for. */

/**
 * A command for bash: prints the lines of dmesg that match, none where there are none. It fails where
 * the kernel's messages cannot be read, which must not pass for silence.
 */
export function kernelLines(expression: string): string {
  return `said=$(dmesg) || exit 2; grep -E '${expression}' <<<"$said" || [ $? -eq 1 ]`;
}
