// The words by which an account is found by the name of its owner.

/** A longer one counts as several words. */
const WORD = /[\p{L}\p{N}]{1,40}/gu;
/** By further words of a name, its account is not found. */
const WORDS_MAX = 10;

/**
 * The different words of a name, in capital letters and without accents, so that `muller` finds Müller. Compatibility forms
 * of a letter count as the letter. Capital letters, because more letters agree in them: ß and SS, σ and ς.
 */
export function wordsOf(name: string): string[] {
  const plain = name.normalize('NFKD').replaceAll(/\p{M}/gu, '').toUpperCase();
  return [...new Set(plain.match(WORD))].slice(0, WORDS_MAX);
}
