/** Text from files and sockets of others, which must not steer the terminal. */

export function printable(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '\u{fffd}');
}
