// Light or dark: as the system has it, unless the person chose otherwise in this browser.
const THEME = 'gopherpay.theme';
const CHOICES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof CHOICES)[number];

export function startTheme(): void {
  applyTheme(chosenTheme());
}

export function chosenTheme(): Theme {
  const stored = localStorage.getItem(THEME);
  return CHOICES.find((choice) => choice === stored) ?? 'system';
}

/** The choice after this one: system, light, dark, and again. */
export function nextTheme(theme: Theme): Theme {
  return CHOICES[(CHOICES.indexOf(theme) + 1) % CHOICES.length] ?? 'system';
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(THEME, theme);
  applyTheme(theme);
}

function applyTheme(theme: Theme): void {
  document.documentElement.dataset['theme'] = theme;
}
