// A schema on the page: its type in a line, and its members. A named schema within it is a link, and opens on request, so a
// schema that contains itself ends where the person stops.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useState } from 'preact/hooks';
import { useDocument } from './context.ts';
import { nameOfRef, type Schema, schemaNamed } from './document.ts';
import { hrefOfSchema } from './places.ts';
import { partsOf, rulesOf, wordsOf } from './schema-words.ts';
import { Text } from './text.ts';

export function TypeLine({ schema }: { schema: Schema }): VNode {
  return html`<span class="type">
    ${wordsOf(schema).map(({ kind, text }) => {
      if (kind === 'ref') return html`<a href=${hrefOfSchema(text)}>${text}</a>${' '}`;
      return kind === 'value' ? html`<code>${text}</code>${' '}` : html`${text}${' '}`;
    })}
  </span>`;
}

/** The rules of a schema, after its type. */
export function Rules({ schema }: { schema: Schema }): VNode {
  return html`${rulesOf(schema).map((rule) => html`<span class="rule">${rule}</span>`)}`;
}

/** What a schema contains. `within`: the named schemas around it. */
export function SchemaBody({ schema, within = [] }: { schema: Schema; within?: readonly string[] }): VNode {
  if (schema.properties) return html`<${Members} schema=${schema} within=${within} />`;
  return html`<${Parts} schema=${schema} within=${within} />`;
}

function Members({
  schema: { properties = {}, required = [], additionalProperties },
  within,
}: {
  schema: Schema;
  within: readonly string[];
}): VNode {
  return html`<ul class="members">
    ${Object.entries(properties).map(
      ([name, member]) =>
        html`<li key=${name}>
          <p class="member-head">
            <code class="member">${name}</code> <${TypeLine} schema=${member} />
            <span class=${required.includes(name) ? 'need' : 'note'}
              >${required.includes(name) ? 'required' : 'optional'}</span
            >
            <${Rules} schema=${member} />
          </p>
          ${member.description && html`<p class="note"><${Text} of=${member.description} /></p>`}
          <${Parts} schema=${member} within=${within} />
        </li>`,
    )}
    ${
      typeof additionalProperties === 'object' &&
      Object.keys(additionalProperties).length > 0 &&
      html`<li>
        <p class="member-head">any other name: <${TypeLine} schema=${additionalProperties} /></p>
      </li>`
    }
  </ul>`;
}

/** The schemas in a type that have something to show. */
function Parts({ schema, within }: { schema: Schema; within: readonly string[] }): VNode {
  return html`${partsOf(schema).map((part) =>
    part.$ref === undefined
      ? html`<div class="nested"><${Members} schema=${part} within=${within} /></div>`
      : html`<${Named} name=${nameOfRef(part.$ref)} within=${within} />`,
  )}`;
}

function Named({ name, within }: { name: string; within: readonly string[] }): VNode | null {
  const schema = schemaNamed(useDocument(), name);
  // Its members are rendered once they are asked for.
  const [isOpen, setOpen] = useState(false);
  if (schema === null) return null;
  if (within.includes(name)) return html`<p class="note">${name} contains itself; its members are above.</p>`;
  const toggle = (event: Event): void => {
    if (event.currentTarget instanceof HTMLDetailsElement) setOpen(event.currentTarget.open);
  };
  return html`<details class="nested" onToggle=${toggle}>
    <summary>${schema.enum ? 'Values' : 'Members'} of ${name}</summary>
    ${isOpen && html`<${NamedBody} name=${name} schema=${schema} within=${within} />`}
  </details>`;
}

/** A named schema: what it is, and what it contains. */
export function NamedBody({
  name,
  schema,
  within = [],
}: {
  name: string;
  schema: Schema;
  within?: readonly string[];
}): VNode {
  return html`${schema.description && html`<p class="note"><${Text} of=${schema.description} /></p>`}
    ${!schema.properties && !isExplained(schema) && html`<p><${TypeLine} schema=${schema} /> <${Rules} schema=${schema} /></p>`}
    <${SchemaBody} schema=${schema} within=${[...within, name]} />`;
}

/** Whether the description of a schema has each of its values already. */
function isExplained({ enum: values, description = '' }: Schema): boolean {
  return values !== undefined && values.every((value) => description.includes(`\`${String(value)}\``));
}
