// Imported first by TypeScript that is started directly. Node 22 and 24 read TypeScript too, and would fail later with an error that
// does not mention the version. Node 20 refuses a TypeScript file before it reads the import.
import { isNodeRecent, refuseNode } from './pinned-node.js';

if (!isNodeRecent()) {
  refuseNode('use "npm test", "npm start" or "npx gopherpay", which find the Node that "npm install" has brought');
  process.exit();
}
