import { confirm } from '../../lib/cli/confirm';
import type { CommandContext } from '../../lib/cli/command';

const contextOf = (answer: string, isInteractive = true): CommandContext =>
  ({
    io: { isInteractive, ask: () => Promise.resolve(answer) },
    output: { json: false },
  }) as unknown as CommandContext;

it.each(['y', 'Y', 'yes', ' YES '])('%j confirms', async (answer) => {
  await confirm(contextOf(answer), false, 'Delete it?');
});

it.each(['', 'n', 'no', 'yep', 'ja'])('%j does not', async (answer) => {
  await expect(confirm(contextOf(answer), false, 'Delete it?')).rejects.toMatchObject({
    code: 'NOT_CONFIRMED',
    message: 'nothing was deleted, since it was not confirmed',
  });
});

it('nobody is asked with --yes, nor without a terminal', async () => {
  await confirm(contextOf('no'), true, 'Delete it?');
  await confirm(contextOf('no', false), false, 'Delete it?');
});
