// Runs its arguments on the Node that the project needs, whichever Node starts it: node src/cli/node.js test/fuzz/main.ts
import { runOnNode } from './pinned-node.js';

runOnNode([...process.execArgv, ...process.argv.slice(2)]);
