// Two subjects that run at once. Both meet the same machine at every moment, so its noise does not reach their ratio,
// which two runs after each other show only after many rounds.
import type { Subject } from './subject.ts';

/** The figure is that of the first subject divided by that of the second. */
export function together(name: string, what: string, [first, second]: readonly [Subject, Subject]): Subject {
  return {
    name,
    what,
    unit: 'ratio',
    needs: [],
    prepare: async () => {
      await first.prepare();
      await second.prepare();
    },
    run: async (seconds) => {
      const [one, other] = await Promise.all([first.run(seconds), second.run(seconds)]);
      const time = (measured: typeof one.measured) => measured['serviceMs'] ?? 0;
      const measured = {
        firstServiceMs: time(one.measured),
        secondServiceMs: time(other.measured),
        serviceMsRatio: time(one.measured) / time(other.measured),
      };
      return { figure: one.figure / other.figure, measured, command: `${one.command} & ${other.command}` };
    },
    prove: async () => (await first.prove()) ?? (await second.prove()),
    close: async () => {
      await first.close();
      await second.close();
    },
  };
}
