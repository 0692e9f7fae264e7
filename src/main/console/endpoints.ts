// The endpoints of the console: its page at / and the reference at /docs, for browsers, and their files. They show no data, so they need no key; the
// page reads data through the interface, with the key that a person enters.
import { Problem } from '../http/problem.ts';
import { chooseType } from '../http/negotiate.ts';
import type { Answer, Endpoint, NamedLedger, NamedPrincipal, RawRequestContext } from '../http/endpoint.ts';
import type { Asset } from './assets.ts';
import { loadInThread } from './loading.ts';
import { type Page, renderConsolePage, renderReferencePage } from './page.ts';

const FOR_EVER = 'public, max-age=31536000, immutable';

/** What lets every caller in. */
type Doors<Ledger, Principal> = { readonly admitAnybody: Endpoint<Ledger, Principal>['admit'] };

export function consoleEndpoints<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  doors: Doors<Ledger, Principal>,
): Endpoint<Ledger, Principal>[] {
  const admit = doors.admitAnybody.bind(doors);
  // It is loaded when a browser asks for a page first.
  const load = once(async () => {
    const assets = await loadInThread();
    return { files: assets.files, console: renderConsolePage(assets), reference: renderReferencePage(assets) };
  });
  const get = (
    pattern: string,
    handle: (context: RawRequestContext<Ledger, Principal>) => Promise<Answer>,
  ): Endpoint<Ledger, Principal> => ({ method: 'GET', pattern, takesBody: false, global: true, admit, handle });
  const sendAsset = async ({ parameters, headers }: RawRequestContext<Ledger, Principal>): Promise<Answer> => {
    const path = parameters.join('/');
    const asset = (await load()).files.get(path);
    if (!asset) throw new Problem('not_found', 'There is no such file of the console.');
    return answerAsset(asset, headers['accept-encoding']);
  };
  const sendPage =
    (pick: (pages: { console: Page; reference: Page }) => Page) =>
    async ({ headers }: RawRequestContext<Ledger, Principal>) => {
      if (chooseType(headers.accept, ['application/json', 'text/html']) !== 'text/html') {
        throw new Problem('not_found', 'There is nothing at this path; /openapi.json lists the paths.');
      }
      const page = pick(await load());
      return { status: 200, headers: page.headers, text: { contentType: 'text/html; charset=utf-8', text: page.text } };
    };
  return [
    get(
      '/',
      sendPage(({ console }) => console),
    ),
    get(
      '/docs',
      sendPage(({ reference }) => reference),
    ),
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
