// For `node --import`: a generator that finds the `typescript` of the project here gets version 5, whose API it needs.
import { createRequire, registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(new URL('../../clients/tools/package.json', import.meta.url));
const url = pathToFileURL(require.resolve('typescript')).href;

registerHooks({
  resolve: (specifier, context, next) => next(specifier === 'typescript' ? url : specifier, context),
});
