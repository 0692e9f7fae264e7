// Commits that no synchronous standby has confirmed. They are lost if the standby takes over, so they must not be
// reported, neither by who made them nor by who reads them.
//
// A commit waits for the standby, invisible to others. It becomes visible on this server alone if the wait is canceled,
// or if the server restarts meanwhile. What a later commit has confirmed includes all earlier ones.
import type { Client } from 'pg';
import { UnreplicatedError } from './errors.ts';
import { socketOf } from './silence.ts';

/** The function of the server that waits for synchronous standbys. Its name is not translated, unlike the message. */
const WAIT_FOR_STANDBY = 'SyncRepWaitForLSN';
/** The channel on which all threads of the process hear of an unreplicated commit. */
const UNREPLICATED = 'gopherpay unreplicated commits';

/** A commit of its own, which changes nothing. A role may have other settings for its sessions. */
const COMMIT = `
  set client_min_messages = warning;
  set synchronous_commit = on;
  select pg_logical_emit_message(true, 'gopherpay', '')`;

/** The runs of servers whose commits a standby has confirmed. */
const confirmed = new Set<string>();
/** How many unreplicated commits this thread knows of. */
let unreplicatedCount = 0;
/** By run, the confirmation under way. */
const confirming = new Map<string, Promise<void>>();

/**
 * A commit whose wait was canceled is reported as a success, behind a warning. Here its answer counts as lost. The
 * success may be in the same packet, so the statement fails before pg reads on. All other sessions of the process end,
 * because they would read the commit.
 */
export function refuseUnreplicated(client: Client): void {
  const { connection } = client;
  connection.on('notice', (notice) => {
    if (!('routine' in notice) || notice.routine !== WAIT_FOR_STANDBY) return;
    const error = new UnreplicatedError('A synchronous standby did not confirm a commit: the wait for it was canceled');
    connection.emit('error', error);
    connection.stream.destroy(error);
    forget();
    const sender = new BroadcastChannel(UNREPLICATED);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
    sender.postMessage(null);
    sender.close();
  });
}

/** What was confirmed before says nothing of an unreplicated commit after it. */
function forget(): void {
  unreplicatedCount += 1;
  confirmed.clear();
}

/** Ends a session when another one of the process has seen an unreplicated commit. */
export function endWithUnreplicated({ connection: { stream } }: Client): void {
  const channel = new BroadcastChannel(UNREPLICATED);
  channel.addEventListener('message', () => {
    forget();
    stream.destroy(new UnreplicatedError('A synchronous standby may lack what this session would read'));
  });
  channel.unref();
  stream.once('close', () => channel.close());
}

/**
 * Resolves when a synchronous standby has confirmed all that a new session can read. `run` names the database, its host
 * and since when the server runs, and `open` connects to it. Throws if the session ends before. One commit is enough for
 * all sessions of a thread, and only one waits, because the server does not notice that its caller has given up.
 */
export async function awaitConfirmation(session: Client, run: string, open: () => Promise<Client>): Promise<void> {
  if (confirmed.has(run)) return;
  const ended = Promise.withResolvers<never>();
  session.connection.stream.once('close', () => {
    ended.reject(new UnreplicatedError('No synchronous standby has confirmed what was committed before'));
  });
  const confirmation = confirming.get(run) ?? confirm(run, open);
  await Promise.race([confirmation, ended.promise]);
}

async function confirm(run: string, open: () => Promise<Client>): Promise<void> {
  const work = async (): Promise<void> => {
    try {
      const client = await open();
      // A command whose session has given up must be able to end.
      socketOf(client)?.unref();
      let before: number;
      do {
        before = unreplicatedCount;
        await client.query(COMMIT);
        // One that was seen meanwhile may be later than this commit.
      } while (before !== unreplicatedCount);
      confirmed.add(run);
      await client.end();
    } finally {
      confirming.delete(run);
    }
  };
  const confirmation = work();
  confirming.set(run, confirmation);
  await confirmation;
}
