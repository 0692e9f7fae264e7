// The first page of the reference: how to begin, all operations by their tags, and all schemas. And the page of one schema.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useDocument } from './context.ts';
import { type Group, type Schema, usersOf } from './document.ts';
import { hrefOfOperation, hrefOfSchema } from './places.ts';
import { NamedBody } from './schema-view.ts';
import { Method, Path, Text } from './text.ts';

export function StartView({ groups }: { groups: readonly Group[] }): VNode {
  const { info, servers = [], components } = useDocument();
  const keys = Object.values(components?.securitySchemes ?? {}).map(({ description = '' }) => description);
  return html`<header class="page-head">
      <div>
        <h1 tabindex="-1">Interface</h1>
        <p class="note">${info.title} ${info.version}. ${info.description}</p>
      </div>
      <p><a href="openapi.json">openapi.json</a></p>
    </header>
    <section class="card" aria-labelledby="servers">
      <h2 id="servers">Addresses and keys</h2>
      <dl class="metadata">
        ${servers.map(
          ({ url, description = '' }) =>
            html`<div key=${url}>
              <dt><code>${url}</code></dt>
              <dd><${Text} of=${description} /></dd>
            </div>`,
        )}
        ${keys.map(
          (key, index) =>
            html`<div key=${key}>
              <dt>${index === 0 ? 'Key' : 'or'}</dt>
              <dd><${Text} of=${key} /></dd>
            </div>`,
        )}
      </dl>
    </section>
    ${groups.map((group) => html`<${GroupCard} key=${group.tag} group=${group} />`)}
    <section class="card" aria-labelledby="schemas">
      <h2 id="schemas">Objects</h2>
      <ul class="names">
        ${Object.keys(components?.schemas ?? {}).map(
          (name) => html`<li key=${name}><a href=${hrefOfSchema(name)}>${name}</a></li>`,
        )}
      </ul>
    </section> `;
}

function GroupCard({ group: { tag, description, operations } }: { group: Group }): VNode {
  return html`<section class="card" aria-label=${tag}>
    <div class="card-head">
      <h2>${tag}</h2>
      <span class="note">${description}</span>
    </div>
    <ul class="operations">
      ${operations.map(
        ({ id, method, path, summary }) =>
          html`<li key=${id}>
            <a href=${hrefOfOperation(id)}
              ><${Method} of=${method} /> <code><${Path} of=${path} /></code
            ></a>
            <span>${summary}</span>
          </li>`,
      )}
    </ul>
  </section>`;
}

export function SchemaPage({
  name,
  schema,
  groups,
}: {
  name: string;
  schema: Schema;
  groups: readonly Group[];
}): VNode {
  const users = usersOf(groups, name);
  return html`<header class="page-head">
      <div>
        <h1 tabindex="-1">${name}</h1>
        <p class="note">An object of the interface</p>
      </div>
    </header>
    <section class="card" aria-labelledby="members">
      <h2 id="members">${schema.enum ? 'Values' : 'Members'}</h2>
      <${NamedBody} name=${name} schema=${schema} />
    </section>
    ${
      users.length > 0 &&
      html`<section class="card" aria-labelledby="users">
        <h2 id="users">Used by</h2>
        <ul class="operations">
          ${users.map(
            ({ id, method, path, summary }) =>
              html`<li key=${id}>
                <a href=${hrefOfOperation(id)}
                  ><${Method} of=${method} /> <code><${Path} of=${path} /></code
                ></a>
                <span>${summary}</span>
              </li>`,
          )}
        </ul>
      </section>`
    }`;
}
