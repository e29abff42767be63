/** Attaches that race: in each round one host wins, and the others hear who has it. */
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../project-root';
import { LineChild } from '../../bench/child';
import { ms } from '../quantile';
import { DIR_POOL, hostsOf, type Outcome, type Site } from './case';

const ROUNDS = 1_000;
const VOLUME = `${DIR_POOL}/raced`;

export async function races(site: Site): Promise<Outcome> {
  const [a, b] = hostsOf(site);
  await a.host.succeed('create', VOLUME, '--size', '1M');
  const racers = [a, b].map(({ host }) => {
    const worker = join(PROJECT_ROOT, 'dist/test/cluster/race-worker.js');
    const [program, ...words] = host.words([worker, VOLUME], process.execPath);
    return new LineChild(program, words, host.env);
  });
  for (const racer of racers) await racer.answer();
  const startedMs = performance.now();
  const wins = racers.map(() => 0);
  let epoch = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    for (const racer of racers) racer.say('attach');
    const answers = await Promise.all(racers.map((racer) => racer.answer()));
    const won = answers.findIndex((answer) => answer.startsWith('won'));
    const others = answers.filter((_, index) => index !== won);
    const risen = Number(answers[won]?.split(' ')[1] ?? 0);
    if (
      won === -1 ||
      risen <= epoch ||
      others.some((answer) => answer !== 'lost VOLUME_ATTACHED')
    ) {
      return {
        passed: false,
        figures: `round ${round}, after epoch ${epoch}: ${answers.join(', ')}`,
      };
    }
    epoch = risen;
    wins[won]++;
    racers[won].say('release');
    await racers[won].answer();
  }
  const roundMs = (performance.now() - startedMs) / ROUNDS;
  for (const racer of racers) await racer.finish();
  const figures = `${ROUNDS} rounds, one winner each (${wins.join(' to ')}), epoch ${epoch}, ${ms(roundMs)} a round`;
  return { passed: true, figures };
}
