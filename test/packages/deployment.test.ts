// The files for Docker, Compose, systemd and Kubernetes agree with the settings, the migrations' roles and one another.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { stopTimeoutMs } from '../../src/cli/serve.ts';
import { parseConfig, SETTING_NAMES } from '../../src/config.ts';
import { VERSION } from '../../src/version.ts';
import { makeFolder } from '../support/service.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const text = z.record(z.string(), z.string());

const composeSchema = z.object({
  services: z.record(
    z.string(),
    z.looseObject({
      image: z.string(),
      build: z.string().optional(),
      environment: text.default({}),
      secrets: z
        .array(z.union([z.string(), z.object({ source: z.string() }).transform(({ source }) => source)]))
        .default([]),
      volumes: z.array(z.string()).default([]),
      ports: z.array(z.string()).default([]),
      networks: z.array(z.string()),
      read_only: z.boolean().default(false),
      cap_drop: z.array(z.string()).default([]),
      security_opt: z.array(z.string()).default([]),
      stop_grace_period: z.string().optional(),
    }),
  ),
  networks: z.record(z.string(), z.object({ internal: z.boolean().default(false) })),
  volumes: z.record(z.string(), z.unknown()),
  secrets: z.record(z.string(), z.object({ file: z.string() })),
});
const compose = composeSchema.parse(parse(read('compose.yaml')));
const services = Object.entries(compose.services);
const ours = services.filter(([, { image }]) => image === 'gopherpay');

const probe = z.object({
  httpGet: z.object({ path: z.string(), port: z.string() }),
  periodSeconds: z.int(),
  failureThreshold: z.int(),
});
const podSchema = z.object({
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  terminationGracePeriodSeconds: z.int().default(30),
  securityContext: z.object({
    runAsNonRoot: z.literal(true),
    runAsUser: z.literal(1000),
    seccompProfile: z.object({ type: z.literal('RuntimeDefault') }),
  }),
  containers: z.tuple([
    z.object({
      image: z.string(),
      args: z.array(z.string()).default([]),
      env: z.array(z.object({ name: z.string(), value: z.string() })),
      ports: z.array(z.object({ name: z.string(), containerPort: z.int() })).default([]),
      startupProbe: probe.optional(),
      livenessProbe: probe.optional(),
      readinessProbe: probe.optional(),
      resources: z.object({ requests: text, limits: z.object({ memory: z.string() }) }),
      securityContext: z.object({
        allowPrivilegeEscalation: z.literal(false),
        readOnlyRootFilesystem: z.literal(true),
        capabilities: z.object({ drop: z.tuple([z.literal('ALL')]) }),
      }),
      volumeMounts: z.array(z.object({ mountPath: z.string(), name: z.string() })),
    }),
  ]),
  volumes: z.array(
    z.object({ name: z.string(), secret: z.object({ secretName: z.string(), defaultMode: z.int() }).optional() }),
  ),
});
const labels = z.object({ matchLabels: text });
const objectSchema = z.looseObject({
  kind: z.string(),
  metadata: z.object({ name: z.string().optional(), namespace: z.string().optional() }).default({}),
});
/** The objects of a file. Kubernetes reads YAML 1.1, in which 0440 is octal. */
function objects(file: string): z.output<typeof objectSchema>[] {
  const documents = parseAllDocuments(read(join('deploy/kubernetes', file)), { version: '1.1' });
  return documents.map((document) => objectSchema.parse(document.toJS()));
}
const MANIFESTS = globSync('*.yaml', { cwd: join(ROOT, 'deploy/kubernetes') });
const all = MANIFESTS.flatMap(objects);
const [deployment] = z
  .tuple([
    z.object({
      spec: z.object({
        replicas: z.int(),
        selector: labels,
        template: z.object({ metadata: z.object({ labels: text }), spec: podSchema }),
      }),
    }),
  ])
  .parse(objects('deployment.yaml'));
const service = deployment.spec.template.spec;
const [{ data: settings }] = z.tuple([z.object({ data: text })]).parse(objects('settings.yaml'));
/** The secrets that an operator makes, each with its keys. */
const exampleSecrets = new Map(
  z
    .array(z.object({ metadata: z.object({ name: z.string() }), stringData: text }))
    .parse(objects('secrets.example.yaml'))
    .map(({ metadata, stringData }) => [metadata.name, Object.keys(stringData)]),
);

function seconds(duration: string | undefined): number {
  return Number(/^(\d+)s$/.exec(duration ?? '')?.[1]);
}

test('deploy: every supervisor waits longer than a stop can take', () => {
  const defaults = stopTimeoutMs(parseConfig({})) / 1000;
  assert.equal(defaults, 135, 'docs/DEPLOY.md computes it');
  assert.ok(seconds(compose.services['gopherpay']?.stop_grace_period) > defaults);
  assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(read('deploy/systemd/gopherpay.service'))?.[1]) > defaults);
  assert.ok(service.terminationGracePeriodSeconds > stopTimeoutMs(parseConfig(settings)) / 1000);
});

test('deploy: every setting exists, and is a right one', () => {
  const pods = all.flatMap(({ spec }) => podsOf(spec)).flatMap(({ containers }) => containers[0].env);
  const names = [
    ...ours.flatMap(([, { environment }]) => Object.keys(environment)),
    ...pods.map(({ name }) => name),
    ...Object.keys(settings),
    ...[...read('deploy/systemd/gopherpay.service').matchAll(/^Environment=(\w+)/gm)].map(([, name = '']) => name),
    ...[...(/^ENV (.*)$/m.exec(read('Dockerfile'))?.[1] ?? '').matchAll(/(\w+)=/g)].map(([, name = '']) => name),
  ];
  assert.ok(names.length > 8);
  assert.deepEqual(
    names.filter((name) => !SETTING_NAMES.includes(name)),
    [],
  );
});

test('image: it has the pinned Node, and the version of the package', () => {
  const dockerfile = read('Dockerfile');
  const node = read('.nvmrc').trim();
  assert.deepEqual(
    [...dockerfile.matchAll(/^ARG (?:BUILD_)?BASE=(.*)$/gm)].map(([, base]) => base),
    [`node:${node}-slim`, `node:${node}-slim`],
  );
  assert.match(dockerfile, new RegExp(`^ARG VERSION=${VERSION.replaceAll('.', '\\.')}$`, 'm'));
});

test('compose: ports are on loopback, images are pinned, and all that it mounts exists', () => {
  for (const [name, { image, ports, volumes, secrets }] of services) {
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    assert.match(image, /^gopherpay$|:v?\d/, name);
    for (const volume of volumes) {
      const [source = ''] = volume.split(':');
      assert.ok(
        source.startsWith('./') ? existsSync(join(ROOT, source)) : source in compose.volumes,
        `${name}: ${source}`,
      );
    }
    for (const secret of secrets) assert.ok(secret in compose.secrets, `${name}: ${secret}`);
  }
});

test('compose: the service runs hardened, and only administration has the password of the owner', () => {
  for (const [name, { read_only, cap_drop, security_opt }] of ours) {
    assert.deepEqual([read_only, cap_drop, security_opt], [true, ['ALL'], ['no-new-privileges']], name);
  }
  const withOwner = services.filter(([, { secrets }]) => secrets.includes('owner-url')).map(([name]) => name);
  assert.deepEqual(withOwner, ['migrate', 'admin']);
  assert.equal(compose.networks['database']?.internal, true);
  const onDatabase = services.filter(([, { networks }]) => networks.includes('database')).map(([name]) => name);
  assert.deepEqual(onDatabase, ['postgres', 'migrate', 'gopherpay', 'admin']);
});

test('compose: its secrets are files that the first start makes, and no other place gets', () => {
  const script = read('deploy/compose/first-start.sh');
  for (const { file } of Object.values(compose.secrets)) {
    const [, name = '', kind = ''] = /^\.\/secrets\/(\w+)[-.](\w+)$/.exec(file) ?? [];
    if (kind === 'key') assert.match(script, new RegExp(`^make_key ${name} `, 'm'));
    else
      assert.match(
        script,
        new RegExp(`^for \\w+ in (.* )?${name}( .*)?; do\\n(.*\\n)*?.*secrets/\\$\\w+-${kind}"`, 'm'),
      );
  }
  for (const file of globSync('deploy/compose/*.sh', { cwd: ROOT })) execFileSync('sh', ['-n', join(ROOT, file)]);
  assert.match(read('.gitignore'), /^\/secrets\/$/m);
  // All that is not named is left out.
  assert.match(read('.dockerignore'), /^\*$/m);
  assert.doesNotMatch(read('.dockerignore'), /^!secrets/m);
});

test('systemd: the unit is valid, and exposes little', (t) => {
  const unit = join(ROOT, 'deploy/systemd/gopherpay.service');
  const security = ['security', '--offline=true', '--threshold=20', '--no-pager', unit];
  if (spawnSync('systemd-analyze', ['--version']).error && process.env['CI'] !== 'true') {
    t.skip('there is no systemd-analyze');
    return;
  }
  const result = spawnSync('systemd-analyze', security);
  assert.equal(result.status, 0, String(result.stdout));
  // A machine that has its Node elsewhere is warned about that.
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit]);
  const complaints = stderr
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.includes('/usr/bin/node'));
  assert.deepEqual(complaints, []);
  assert.ok(status === 0 || stderr.includes('/usr/bin/node'));
});

test('kubernetes: every pod is an ordinary user with bounded memory, and mounts secrets that exist', () => {
  const pods = all.flatMap(({ spec }) => podsOf(spec));
  assert.equal(pods.length, 3);
  for (const { containers, volumes } of pods) {
    const [{ image, env, volumeMounts }] = containers;
    assert.ok(['gopherpay', `registry.example.com/gopherpay:${VERSION}`].includes(image), image);
    const secret = volumes.find(({ name }) => name === 'secrets')?.secret;
    assert.equal(secret?.defaultMode, 0o440);
    const folder = volumeMounts.find(({ name }) => name === 'secrets')?.mountPath;
    const keys = exampleSecrets.get(secret?.secretName ?? '') ?? [];
    for (const { value } of env)
      assert.ok(
        keys.some((key) => value === `${folder}/${key}`),
        value,
      );
  }
});

test('kubernetes: probes, budget, service and policy are about the service', () => {
  const [{ ports, startupProbe, livenessProbe, readinessProbe }] = service.containers;
  const port = new Map(ports.map(({ name, containerPort }) => [name, String(containerPort)]));
  assert.equal(port.get('operations'), settings['OPERATIONS_PORT']);
  assert.equal(port.get('http'), String(parseConfig(settings).port));
  const paths = [startupProbe, livenessProbe, readinessProbe].map((each) => each?.httpGet);
  assert.deepEqual(paths, [
    { path: '/readyz', port: 'operations' },
    { path: '/healthz', port: 'operations' },
    { path: '/readyz', port: 'operations' },
  ]);
  // Nothing is sent to a pod any more before it stops serving.
  const { periodSeconds = 0, failureThreshold = 0 } = readinessProbe ?? {};
  assert.ok(parseConfig(settings).shutdownDelayMs > 1000 * periodSeconds * failureThreshold);
  const selected = deployment.spec.template.metadata.labels;
  assert.deepEqual(deployment.spec.selector.matchLabels, selected);
  const selectors = z.object({
    Service: z.object({ selector: text }),
    PodDisruptionBudget: z.object({ selector: labels, maxUnavailable: z.literal(1) }),
    NetworkPolicy: z.object({ podSelector: labels }),
  });
  const found = selectors.parse(Object.fromEntries(all.map(({ kind, spec }) => [kind, spec])));
  assert.deepEqual(found.Service.selector, selected);
  assert.deepEqual(found.PodDisruptionBudget.selector.matchLabels, selected);
  assert.deepEqual(found.NetworkPolicy.podSelector.matchLabels, selected);
  assert.ok(deployment.spec.replicas > found.PodDisruptionBudget.maxUnavailable);
});

test('kubernetes: each manifest is of the schema', async (t) => {
  const named = process.env['CONTRACT_PYTHON'];
  const python = named ?? 'python3';
  if (named === undefined && spawnSync(python, ['-c', 'import kubernetes_validate']).status !== 0) {
    // CI names a Python that has it, and cannot get here.
    t.skip(`${python} has no kubernetes_validate: pip install -r clients/tools/requirements.txt`);
    return;
  }
  const file = join(await makeFolder(t), 'all.yaml');
  const documents = MANIFESTS.filter((name) => name !== 'kustomization.yaml').map((name) =>
    // The package needs a name, although the cluster makes one.
    read(join('deploy/kubernetes', name)).replace(/generateName: [\w-]+-/, 'name: generated'),
  );
  await writeFile(file, documents.join('\n---\n'));
  const { status, stdout, stderr } = spawnSync(python, ['-m', 'kubernetes_validate', '--strict', file], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(`${stdout}${stderr}`.match(/ passed /g)?.length, 10);
});

test('kubernetes: the kustomization lists each object of the running service', () => {
  const { resources, images } = z
    .object({
      resources: z.array(z.string()),
      images: z.tuple([z.object({ newName: z.string(), newTag: z.string() })]),
    })
    .parse(parse(read('deploy/kubernetes/kustomization.yaml')));
  const apart = ['admin.yaml', 'kustomization.yaml', 'migrate.yaml', 'secrets.example.yaml'];
  assert.deepEqual([...resources, ...apart].toSorted(), MANIFESTS.toSorted());
  assert.equal(images[0].newTag, VERSION);
  for (const { kind, metadata } of all) {
    if (!['Kustomization', 'Namespace'].includes(kind)) assert.equal(metadata.namespace, 'gopherpay', kind);
  }
});

/** The pod of an object: itself, or of its template. */
function podsOf(spec: unknown): z.output<typeof podSchema>[] {
  const templated = z.object({ template: z.object({ spec: podSchema }) });
  const isPod = z.looseObject({ containers: z.unknown() }).safeParse(spec).data?.containers !== undefined;
  if (isPod) return [podSchema.parse(spec)];
  const hasTemplate = z.looseObject({ template: z.unknown() }).safeParse(spec).data?.template !== undefined;
  return hasTemplate ? [templated.parse(spec).template.spec] : [];
}
