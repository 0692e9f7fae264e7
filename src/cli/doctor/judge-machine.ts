// Judges this machine: clock, disk, memory, files, certificates. It is the machine of the service if the doctor runs there.
import { X509Certificate } from 'node:crypto';
import { readFile, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { type Finding, ok, problem, renderBytes, renderCount, renderSeconds, warning } from './finding.ts';

const MB = 1024 ** 2;
const CLOCK_WARNING_MS = 1000;
/** Receivers of webhooks refuse a signature that is five minutes off. */
const CLOCK_PROBLEM_MS = 60_000;
const SLOW_ANSWER_MS = 10;
const DISK_WARNING = { share: 0.1, bytes: 2048 * MB };
const DISK_PROBLEM = { share: 0.02, bytes: 256 * MB };
/** What the service had resident at most in the measurements with its default settings. */
const MEMORY_OF_SERVICE = 400 * MB;
const CERTIFICATE_SECONDS_MIN = 14 * 86_400;
const FILES_MIN = 4096;

/** `database` and `here`: the clocks in ms, read within `tookMs`. */
export function judgeClock(database: number, here: number, tookMs: number): Finding[] {
  const off = Math.max(0, Math.abs(here - database) - tookMs);
  const found = `${Math.round(off)} ms apart`;
  const advice =
    'Instants are the database’s, but tokens, certificates and signatures of webhooks are judged by this clock: synchronize both (NTP).';
  const clock =
    off > CLOCK_PROBLEM_MS
      ? problem('machine.clock', found, advice)
      : off > CLOCK_WARNING_MS
        ? warning('machine.clock', found, advice)
        : ok('machine.clock', found);
  const answer = `${tookMs.toFixed(1)} ms a statement`;
  return [
    clock,
    tookMs > SLOW_ANSWER_MS
      ? warning('server.latency', answer, 'A job is several statements in turn: run the service close to its database.')
      : ok('server.latency', answer),
  ];
}

/** The disk of a folder. `bytesOfTransfer`: how much a transfer has taken so far; null: there are too few to tell. */
export async function judgeDisk(folder: string, bytesOfTransfer: number | null): Promise<Finding> {
  const { bavail, blocks, bsize } = await statfs(folder);
  const [free, total] = [bavail * bsize, blocks * bsize];
  const room = bytesOfTransfer === null ? '' : `, room for ${renderCount(free / bytesOfTransfer)} transfers`;
  const found = `${renderBytes(free)} of ${renderBytes(total)} free${room}`;
  const advice =
    'Without room the service accepts nothing (503) until there is some: free space, or move to a larger disk.';
  const isBelow = ({ share, bytes }: typeof DISK_WARNING): boolean => free < bytes || free < share * total;
  if (isBelow(DISK_PROBLEM)) return problem('machine.disk', found, advice);
  return isBelow(DISK_WARNING) ? warning('machine.disk', found, advice) : ok('machine.disk', found);
}

/** `limit`: that of the control group, or more than the machine has. */
export function judgeMemory(needed: number, limit = process.constrainedMemory()): Finding {
  const available = Math.min(totalmem(), limit || Infinity);
  const wanted = MEMORY_OF_SERVICE + needed;
  const found = `${renderBytes(available)}, and the service may take ${renderBytes(wanted)}`;
  return available < wanted
    ? warning(
        'machine.memory',
        found,
        'It could be killed under load: give it more, or lower MAX_QUEUE_BYTES and the BYTES_IN_FLIGHT limits.',
      )
    : ok('machine.memory', found);
}

export function judgeFiles(openFilesMax: number, connectionsMax: number): Finding {
  const found = openFilesMax === Infinity ? 'no limit' : `${renderCount(openFilesMax)} open files`;
  return openFilesMax < Math.min(connectionsMax, FILES_MIN)
    ? warning(
        'machine.files',
        found,
        `Fewer than ${renderCount(connectionsMax)} callers can connect: raise the limit (ulimit -n, LimitNOFILE), or lower CONNECTIONS_MAX.`,
      )
    : ok('machine.files', found);
}

/** The certificate of the listener; null: callers use HTTP. `open`: other machines can reach it. */
export async function judgeTls(
  certificate: string | null,
  { open, proxied }: { open: boolean; proxied: boolean },
): Promise<Finding> {
  if (certificate === null) {
    return open && !proxied
      ? warning(
          'tls.callers',
          'none',
          'Keys cross the network in clear text: set TLS_CERT and TLS_KEY, or put a proxy with TLS in front.',
        )
      : ok('tls.callers', open ? 'that of a proxy' : 'none, and only this machine can connect');
  }
  const seconds = await readFile(certificate).then(secondsLeft, () => null);
  if (seconds === null) {
    return problem('tls.callers', `${certificate} cannot be read`, 'The service does not start: correct TLS_CERT.');
  }
  const advice = 'Callers refuse an expired certificate: renew it, and send SIGHUP to the service.';
  if (seconds < 0) return problem('tls.callers', `expired ${renderSeconds(-seconds)} ago`, advice);
  const found = `valid for ${renderSeconds(seconds)}`;
  return seconds < CERTIFICATE_SECONDS_MIN ? warning('tls.callers', found, advice) : ok('tls.callers', found);
}

/** For how long a certificate is valid; null: it is none. */
function secondsLeft(pem: Buffer): number | null {
  try {
    return (new X509Certificate(pem).validToDate.getTime() - Date.now()) / 1000;
  } catch {
    return null;
  }
}
