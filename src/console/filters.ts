// A form of filters. The address keeps them, so that links lead to a filtered list and the back button undoes a filter.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { instantOfInput, localInput } from './format.ts';
import { hrefOf } from './place.ts';
import { go } from './router.ts';
import { useSession } from './session.ts';

export type Filter = {
  /** As the query parameter of the service. */
  readonly name: string;
  readonly label: string;
  readonly placeholder?: string;
  /** The values to choose from; without them it is a text. */
  readonly options?: readonly string[];
  /** An instant: the form shows it in the person's own time zone. */
  readonly isTime?: boolean;
  /** Shown only when a person asks for more filters, or uses it. */
  readonly isRare?: boolean;
};

export type FilterValues = Readonly<Record<string, string>>;

/** The filters in an address. Whatever else is there is left out. */
export function filtersIn(query: URLSearchParams, filters: readonly Filter[]): FilterValues {
  return Object.fromEntries(filters.flatMap(({ name }) => (query.get(name) ? [[name, query.get(name) ?? '']] : [])));
}

export function FilterForm({
  label,
  filters,
  values,
  path,
}: {
  label: string;
  filters: readonly Filter[];
  values: FilterValues;
  path: readonly string[];
}): VNode {
  const { ledger } = useSession();
  const form = useRef<HTMLFormElement>(null);
  const [wantsMore, setWantsMore] = useState(false);
  const rare = filters.filter(({ isRare }) => isRare);
  const showsRare = wantsMore || rare.some(({ name }) => name in values);
  useEffect(() => {
    for (const filter of filters) {
      const value = values[filter.name] ?? '';
      setInput(form.current, filter.name, filter.isTime ? localInput(value) : value);
    }
  }, [JSON.stringify(values), showsRare]);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (form.current) go(hrefOf(ledger, path, { ...values, ...readForm(form.current, filters) }));
  };
  const shown = filters.filter(({ isRare }) => !isRare || showsRare);
  return html`<form class="filters" ref=${form} onSubmit=${submit} aria-label=${label} role="search">
    ${shown.map((filter) => html`<${Field} key=${filter.name} filter=${filter} />`)}
    <div class="actions ${rare.length > 0 ? 'wide' : ''}">
      <button type="submit">Filter</button>
      ${Object.keys(values).length > 0 && html`<a href=${hrefOf(ledger, path)}>Clear</a>`}
      ${
        rare.length > 0 &&
        !showsRare &&
        html`<button type="button" class="quiet" onClick=${() => setWantsMore(true)}>More filters</button>`
      }
    </div>
  </form>`;
}

function Field({ filter: { name, label, placeholder, options, isTime } }: { filter: Filter }): VNode {
  return html`<label
    >${label}
    ${
      options
        ? html`<select name=${name}>
            <option value="">any</option>
            ${options.map((value) => html`<option key=${value} value=${value}>${value.replaceAll('_', ' ')}</option>`)}
          </select>`
        : html`<input
            name=${name}
            type=${isTime ? 'datetime-local' : 'text'}
            step=${isTime ? 1 : undefined}
            placeholder=${placeholder}
            autocomplete="off"
            spellcheck=${false}
          />`
    }
  </label>`;
}

function setInput(form: HTMLFormElement | null, name: string, value: string): void {
  const input = form?.elements.namedItem(name);
  if (input instanceof HTMLInputElement || input instanceof HTMLSelectElement) input.value = value;
}

/** The values of the fields that the form shows; null: empty. */
function readForm(form: HTMLFormElement, filters: readonly Filter[]): Record<string, string | null> {
  const data = new FormData(form);
  const read: Record<string, string | null> = {};
  for (const { name, isTime } of filters) {
    const value = data.get(name);
    if (typeof value !== 'string') continue;
    read[name] = isTime ? instantOfInput(value) : value.trim();
  }
  return read;
}
