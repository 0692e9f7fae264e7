// Chooses the form of an answer by the request's Accept header (RFC 9110, section 12.5.1).

type Range = { readonly type: string; readonly quality: number };

/**
 * The offered type with the highest quality in the header, earlier ones first; the first one if the header accepts
 * none.
 */
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

/** The quality of the most specific range that matches: text/html outranks text/*, which outranks any type. */
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
