// Starts Swagger UI on the page /docs. It imports nothing: the page loads Swagger UI before it.
type SentRequest = { readonly method?: string; readonly url: string };
type Swagger = { readonly preauthorizeApiKey: (scheme: string, key: string) => void };
type SwaggerOptions = {
  readonly url: string;
  readonly dom_id: string;
  readonly deepLinking: boolean;
  readonly docExpansion: 'none' | 'list';
  readonly defaultModelsExpandDepth: number;
  readonly filter: boolean;
  readonly tryItOutEnabled: boolean;
  /** Null: no other service gets the document for validation. */
  readonly validatorUrl: null;
  readonly syntaxHighlight: boolean;
  readonly plugins: readonly object[];
  readonly requestInterceptor: (request: SentRequest) => SentRequest;
  readonly onComplete: () => void;
};

declare const SwaggerUIBundle: (options: SwaggerOptions) => Swagger;

// A page that the browser kept for its Back button may have a key that was forgotten since.
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});

const dark = matchMedia('(prefers-color-scheme: dark)');

/** The theme that the person chose in the console, or that of the system. */
function applyTheme(): void {
  const chosen = localStorage.getItem('gopherpay.theme');
  const isDark = chosen === 'dark' || (chosen !== 'light' && dark.matches);
  document.documentElement.classList.toggle('dark-mode', isDark);
}

applyTheme();
dark.addEventListener('change', applyTheme);

const swagger = SwaggerUIBundle({
  url: new URL('openapi.json', document.baseURI).href,
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  syntaxHighlight: false,
  // The command that it would show has the key in it.
  plugins: [{ wrapComponents: { curl: () => () => null } }],
  requestInterceptor(request) {
    const { method = 'GET', url } = request;
    if (/^(GET|HEAD)$/i.test(method) || confirm(`${method} ${new URL(url).pathname}\n\nThis changes the books.`))
      return request;
    throw new Error('It was not sent.');
  },
  onComplete: () => {
    // The key of the console in this tab. Swagger UI keeps it in memory only.
    const key = sessionStorage.getItem(`gopherpay.key:${new URL('.', document.baseURI).pathname}`);
    if (key !== null) swagger.preauthorizeApiKey('key', key);
  },
});
