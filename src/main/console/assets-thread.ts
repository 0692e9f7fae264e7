// The thread that makes the files of the console, and ends. Stripping types and compressing would take the event loop of
// the service 0.2 s, in which no caller is answered.
import { parentPort } from 'node:worker_threads';
import { loadAssets } from './assets.ts';

const assets = await loadAssets();
const memory = [...assets.files.values()].flatMap(({ bytes, zipped }) => [bytes.buffer, zipped.buffer]);
parentPort?.postMessage(assets, memory);
