// The answers of an operation: every status, with its headers and its body.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useDocument } from './context.ts';
import { type Answer, answerOf, type Content, type Header, headerOf } from './document.ts';
import { Rules, SchemaBody, TypeLine } from './schema-view.ts';
import { Text } from './text.ts';

export function Answers({ answers }: { answers: Readonly<Record<string, Answer>> }): VNode {
  const document = useDocument();
  return html`<section aria-labelledby="answers" class="card">
    <h2 id="answers">Answers</h2>
    <div class="statuses">
      ${Object.entries(answers).map(
        ([status, answer]) =>
          html`<${AnswerView} key=${status} status=${status} answer=${answerOf(document, answer)} />`,
      )}
    </div>
  </section>`;
}

function AnswerView({
  status,
  answer: { description = '', headers = {}, content = {} },
}: {
  status: string;
  answer: Answer;
}): VNode {
  const isGood = status.startsWith('2');
  const [head = '', ...rest] = description.split('\n');
  return html`<details class="answer" open=${isGood}>
    <summary>
      <span class="badge ${isGood ? 'good' : 'bad'}">${status}</span> <span><${Text} of=${head} /></span>
      ${rest.length > 0 && html`<span class="note">${' '}and ${rest.length} more</span>`}
    </summary>
    ${rest.length > 0 && html`<p><${Text} of=${rest.join('\n')} /></p>`}
    <${Bodies} content=${content} /> <${Headers} headers=${headers} />
  </details>`;
}

function Headers({ headers }: { headers: Readonly<Record<string, Header>> }): VNode | null {
  const document = useDocument();
  if (Object.keys(headers).length === 0) return null;
  const count = Object.keys(headers).length;
  return html`<details class="nested">
    <summary>${count === 1 ? '1 header' : `${count} headers`}</summary>
    <dl class="metadata">
      ${Object.entries(headers).map(([name, header]) => {
        const { description = '', schema } = headerOf(document, header);
        return html`<div key=${name}>
          <dt><code>${name}</code></dt>
          <dd>
            ${schema && html`<${TypeLine} schema=${schema} />`} <span class="note"><${Text} of=${description} /></span>
          </dd>
        </div>`;
      })}
    </dl>
  </details>`;
}

/** A body in each of its forms. */
export function Bodies({ content }: { content: Content }): VNode {
  return html`${Object.entries(content).map(
    ([type, { schema = {} }]) =>
      html`<div key=${type} class="body-of">
        <p class="member-head"><code>${type}</code> <${TypeLine} schema=${schema} /> <${Rules} schema=${schema} /></p>
        <${SchemaBody} schema=${schema} />
      </div>`,
  )}`;
}
