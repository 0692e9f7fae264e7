// One operation: what it does and needs, its parameters, its body, its answers and its examples.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { Copy } from '../copy.ts';
import { Answers, Bodies } from './answers.ts';
import { curlOf, type Sample, samplesOf } from './curl.ts';
import type { Operation, Parameter } from './document.ts';
import { Rules, TypeLine } from './schema-view.ts';
import { Method, Path, Text } from './text.ts';

const PLACES: readonly { readonly place: Parameter['in']; readonly title: string }[] = [
  { place: 'path', title: 'In the path' },
  { place: 'query', title: 'In the query' },
  { place: 'header', title: 'Headers' },
  { place: 'cookie', title: 'Cookies' },
];

export function OperationView({ operation }: { operation: Operation }): VNode {
  const { id, method, path, summary, scope, needsKey, isGlobal, json } = operation;
  const { description = '', parameters = [], requestBody, responses } = json;
  return html`<header class="page-head">
      <div>
        <h1 tabindex="-1">
          <${Method} of=${method} /> <code><${Path} of=${path} /></code>
        </h1>
        <p>${summary}</p>
      </div>
      <p class="badges">
        <span class="badge">${scope === null ? (needsKey ? 'any key' : 'no key') : `scope ${scope}`}</span>
        <span class="badge">${id}</span>
      </p>
    </header>
    <div class="operation">
      <div class="stack">
        <section class="card stack" aria-labelledby="about">
          <h2 id="about" class="hidden">About</h2>
          ${description !== '' && html`<p><${Text} of=${description} /></p>`}
          <p class="note">
            ${isGlobal ? 'It belongs to no ledger.' : html`For a certain ledger: <code>/ledgers/{ledger}${path}</code>.`}
          </p>
        </section>
        ${parameters.length > 0 && html`<${Parameters} parameters=${parameters} />`}
        ${
          requestBody &&
          html`<section class="card" aria-labelledby="body">
            <h2 id="body">Body${!requestBody.required && html`${' '}<span class="note">optional</span>`}</h2>
            <${Bodies} content=${requestBody.content} />
          </section>`
        }
        <${Answers} answers=${responses} />
      </div>
      <${Examples} operation=${operation} />
    </div>`;
}

function Parameters({ parameters }: { parameters: readonly Parameter[] }): VNode {
  return html`<section class="card" aria-labelledby="parameters">
    <h2 id="parameters">Parameters</h2>
    ${PLACES.map(({ place, title }) => {
      const those = parameters.filter((parameter) => parameter.in === place);
      return (
        those.length > 0 &&
        html`<div key=${place} class="body-of">
          <h3>${title}</h3>
          <ul class="members">
            ${those.map((parameter) => html`<${ParameterView} key=${parameter.name} parameter=${parameter} />`)}
          </ul>
        </div>`
      );
    })}
  </section>`;
}

function ParameterView({
  parameter: { name, required = false, description, schema = {} },
}: {
  parameter: Parameter;
}): VNode {
  return html`<li>
    <p class="member-head">
      <code class="member">${name}</code> <${TypeLine} schema=${schema} />
      <span class=${required ? 'need' : 'note'}>${required ? 'required' : 'optional'}</span>
      <${Rules} schema=${schema} />
    </p>
    ${description && html`<p class="note"><${Text} of=${description} /></p>`}
  </li>`;
}

function Examples({ operation }: { operation: Operation }): VNode {
  const samples = samplesOf(operation);
  return html`<section class="card examples" aria-labelledby="examples">
    <h2 id="examples">${samples.length === 1 ? 'Example' : 'Examples'}</h2>
    ${
      samples.length === 1
        ? samples.map((sample) => html`<${Example} operation=${operation} sample=${sample} />`)
        : samples.map(
            (sample, index) =>
              html`<details key=${sample.name} class="answer" open=${index === 0}>
                <summary>${titleOf(sample.name)}</summary>
                <${Example} operation=${operation} sample=${sample} />
              </details>`,
          )
    }
  </section>`;
}

function Example({ operation, sample }: { operation: Operation; sample: Sample }): VNode {
  const { body, answer } = sample;
  const command = curlOf(operation, sample, new URL('.', document.baseURI));
  return html`<div class="stack">
    <div>
      <div class="card-head">
        <h3>Command</h3>
        <${Copy} text=${command} name="the command" />
      </div>
      <pre class="code">${command}</pre>
    </div>
    ${
      body !== undefined &&
      html`<div>
        <h3>Body</h3>
        <pre class="code">${JSON.stringify(body, null, 2)}</pre>
      </div>`
    }
    ${
      answer &&
      html`<div>
        <h3>Answer <span class="badge good">${answer.status}</span></h3>
        <pre class="code">${JSON.stringify(answer.value, null, 2)}</pre>
      </div>`
    }
  </div>`;
}

/** `waitsForApproval` is "Waits for approval". */
function titleOf(name: string): string {
  const words = name.replaceAll(
    /([a-z])([A-Z])/g,
    (_whole, end: string, start: string) => `${end} ${start.toLowerCase()}`,
  );
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}`;
}
