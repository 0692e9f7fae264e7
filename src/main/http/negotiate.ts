// Chooses the form of an answer by the request's Accept header (RFC 9110, section 12.5.1).

type Range = { readonly type: string; readonly quality: number };

/** The type of those offered, the favourite first, that the header likes best; the first if it likes none of them. */
export function chooseType<Type extends string>(accept: string | undefined, offered: readonly [Type, ...Type[]]): Type {
  const ranges = (accept ?? '').split(',').map(parseRange);
  let [best] = offered;
  let bestQuality = 0;
  for (const type of offered) {
    const quality = qualityOf(type, ranges);
    if (quality <= bestQuality) continue;
    best = type;
    bestQuality = quality;
  }
  return best;
}

/** What the most specific range that matches says: text/html counts more than text/*, and that more than any. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  const [family] = type.split('/');
  for (const name of [type, `${family}/*`, '*/*']) {
    const range = ranges.find((range) => range.type === name);
    if (range) return range.quality;
  }
  return 0;
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  return { type, quality: quality === undefined ? 1 : Number(quality) || 0 };
}
