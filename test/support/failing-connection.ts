// A connection without a server, of which one statement and all later ones of the transaction fail at the same moment, as when the
// server's answers come in one packet.
import { Client } from 'pg';

const ABORTED = '25P02';

/**
 * The statement of this name fails with this SQLSTATE, and with it the later ones of the transaction. Null: the connection breaks there.
 */
export function failingAt(
  statement: string,
  code: string | null,
  options: {
    alsoRollback?: boolean;
    commitAnswers?: string;
    /** What statements answer, by name; no rows unless it is here. */
    rows?: Readonly<Record<string, readonly object[]>>;
  } = {},
): { connection: Client; sent: string[] } {
  const { alsoRollback = false, commitAnswers = 'COMMIT', rows = {} } = options;
  const sent: string[] = [];
  const answers: (() => void)[] = [];
  let failed = false;
  const query = async (query: string | { name: string }): Promise<{ rows: readonly object[]; command: string }> => {
    const name = typeof query === 'string' ? query : query.name;
    sent.push(name);
    if (name === 'rollback' && !alsoRollback) return { rows: [], command: 'ROLLBACK' };
    return await new Promise((resolve, reject) => {
      if (answers.length === 0) setImmediate(() => answers.splice(0).forEach((answer) => answer()));
      const isCause = name === statement;
      const fails = isCause || failed;
      failed ||= isCause;
      answers.push(() => {
        if (!fails) resolve({ rows: rows[name] ?? [], command: name === 'commit' ? commitAnswers : 'SELECT' });
        else if (code === null) reject(new Error('Connection terminated unexpectedly'));
        else reject(Object.assign(new Error(), { code: isCause ? code : ABORTED, severity: 'ERROR' }));
      });
    });
  };
  return { connection: Object.assign(new Client(), { query }), sent };
}
