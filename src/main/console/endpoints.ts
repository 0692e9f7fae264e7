// The endpoints of the console: its page at /, for browsers, and its files. They show no data, so they need no key; the
// page reads data through the interface, with the key that a person enters.
import { Problem } from '../http/problem.ts';
import { chooseType } from '../http/negotiate.ts';
import type { Answer, Endpoint, NamedLedger, NamedPrincipal, RawRequestContext } from '../http/endpoint.ts';
import { type Asset, type Assets, loadAssets, loadReferenceAssets } from './assets.ts';
import { type Page, renderPage, renderReferencePage } from './page.ts';

const FOR_EVER = 'public, max-age=31536000, immutable';

/** What lets every caller in. */
type Doors<Ledger, Principal> = { readonly admitAnybody: Endpoint<Ledger, Principal>['admit'] };
type Loaded = { readonly files: Assets['files']; readonly page: Page };

export function consoleEndpoints<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  doors: Doors<Ledger, Principal>,
): Endpoint<Ledger, Principal>[] {
  const admit = doors.admitAnybody.bind(doors);
  // Each is loaded when a browser asks for it first.
  const console = once(async () => {
    const assets = await loadAssets();
    return { files: assets.files, page: renderPage(assets) };
  });
  const reference = once(async () => {
    const assets = await loadReferenceAssets();
    return { files: assets.files, page: renderReferencePage(assets) };
  });
  const get = (
    pattern: string,
    handle: (context: RawRequestContext<Ledger, Principal>) => Promise<Answer>,
  ): Endpoint<Ledger, Principal> => ({ method: 'GET', pattern, takesBody: false, global: true, admit, handle });
  const sendAsset = async ({ parameters, headers }: RawRequestContext<Ledger, Principal>): Promise<Answer> => {
    const path = parameters.join('/');
    const asset = (await console()).files.get(path) ?? (await reference()).files.get(path);
    if (!asset) throw new Problem('not_found', 'There is no such file of the console.');
    return answerAsset(asset, headers['accept-encoding']);
  };
  const sendPage =
    (load: () => Promise<Loaded>) =>
    async ({ headers }: RawRequestContext<Ledger, Principal>) => {
      if (chooseType(headers.accept, ['application/json', 'text/html']) !== 'text/html') {
        throw new Problem('not_found', 'There is nothing at this path; /openapi.json lists the paths.');
      }
      const { page } = await load();
      return { status: 200, headers: page.headers, text: { contentType: 'text/html; charset=utf-8', text: page.text } };
    };
  return [
    get('/', sendPage(console)),
    get('/docs', sendPage(reference)),
    get('/assets/:file', sendAsset),
    get('/assets/:folder/:file', sendAsset),
  ];
}

/** What `load` resolves with, loaded at the first call. A failure is not kept. */
function once<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined;
  return async () => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    return await loading;
  };
}

function answerAsset({ contentType, bytes, zipped }: Asset, accepted = ''): Answer {
  const zips = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/i.test(accepted);
  const headers = { 'Cache-Control': FOR_EVER, Vary: 'Accept-Encoding' };
  return {
    status: 200,
    headers: zips ? { ...headers, 'Content-Encoding': 'gzip' } : headers,
    text: { contentType, text: zips ? zipped : bytes },
  };
}
