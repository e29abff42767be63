/** What a run that fails, or is interrupted, would leave behind: processes and directories. */

const undoings = new Set<() => void>();

/** `undo` is called when this process ends, unless what is returned was called before. */
export function untilUndone(undo: () => void): () => void {
  undoings.add(undo);
  return () => undoings.delete(undo);
}

function undoAll(): void {
  for (const undo of [...undoings].reverse()) {
    try {
      undo();
    } catch {
      // Gone already, or not ours to remove: the others are still to be undone.
    }
  }
}

process.on('exit', undoAll);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
