// What a project has that its owners manage: where the API has it, what is shown of it, and what a form asks for.
import { group } from './api.js';

const part = encodeURIComponent;
const atlas = (version) => `application/vnd.atlas.${version}+json`;
const ofProject =
  (rest) =>
  ({ project }) =>
    `/atlas/v2/groups/${part(project)}/${rest}`;
const own =
  (rest) =>
  ({ project }) =>
    `${group(project)}/${rest}`;

const roles = [
  'GROUP_OWNER',
  'GROUP_STREAM_PROCESSING_OWNER',
  'GROUP_DATA_ACCESS_ADMIN',
  'GROUP_DATA_ACCESS_READ_WRITE',
  'GROUP_DATA_ACCESS_READ_ONLY',
  'GROUP_READ_ONLY',
  'GROUP_AUDIT_LOG_WRITER',
];

// accessList is from where a credential may be used.
const accessList = (path, accept) => ({
  key: 'accessList',
  path,
  accept,
  id: (e) => e.ipAddress ?? e.cidrBlock,
  name: (e) => e.ipAddress ?? e.cidrBlock,
  light: true,
  fields: [{ name: 'network', required: true, example: '192.0.2.0/24' }],
  body: ({ network }) => [network.includes('/') ? { cidrBlock: network } : { ipAddress: network }],
});

const below = (path, id) => (place, item) => `${path(place)}/${part(item[id])}`;

const accounts = ofProject('serviceAccounts'),
  keys = ofProject('apiKeys'),
  tokens = own('ingestTokens');
const hours = { name: 'secretExpiresAfterHours', kind: 'number', required: true, usual: 2160 };

const serviceAccounts = {
  key: 'serviceAccounts',
  path: accounts,
  accept: atlas('2024-08-05'),
  id: (a) => a.clientId,
  name: (a) => a.name,
  facts: ['clientId', 'description', 'roles', 'createdAt'],
  fields: [
    { name: 'name', required: true, most: 64 },
    { name: 'description', required: true, most: 250 },
    { name: 'roles', kind: 'many', options: roles, usual: ['GROUP_DATA_ACCESS_READ_ONLY'] },
    { ...hours, create: true },
  ],
  once: (made) => ({ clientId: made.clientId, clientSecret: made.secrets[0].secret }),
  inside: [
    {
      key: 'secrets',
      accept: atlas('2024-08-05'),
      path: (p, a) => below(accounts, 'clientId')(p, a) + '/secrets',
      items: (a) => a.secrets,
      id: (s) => s.id,
      name: (s) => s.maskedSecretValue ?? s.id,
      facts: ['createdAt', 'expiresAt'],
      fields: [hours],
      once: (made, account) => ({ clientId: account.clientId, clientSecret: made.secret }),
    },
    accessList((p, a) => below(accounts, 'clientId')(p, a) + '/accessList', atlas('2024-08-05')),
  ],
};

const apiKeys = {
  key: 'apiKeys',
  path: keys,
  accept: atlas('2023-01-01'),
  id: (k) => k.id,
  name: (k) => k.desc || k.publicKey,
  facts: ['publicKey', 'roles'],
  fields: [
    { name: 'desc', required: true, most: 250 },
    { name: 'roles', kind: 'many', options: roles, usual: ['GROUP_DATA_ACCESS_READ_ONLY'] },
  ],
  once: (made) => ({ publicKey: made.publicKey, privateKey: made.privateKey }),
  inside: [
    accessList(({ org }, k) => `/atlas/v2/orgs/${part(org)}/apiKeys/${part(k.id)}/accessList`, atlas('2023-01-01')),
  ],
};

const ingestTokens = {
  key: 'ingestTokens',
  path: tokens,
  id: (i) => i.id,
  name: (i) => i.name,
  facts: ['id', 'tenantName', 'createdAt', 'expiresAt', 'lastUsedAt'],
  fields: [
    { name: 'name', required: true, most: 64 },
    { name: 'tenantName', kind: 'one', options: (p) => p.workspaces },
    { name: 'expiresAfterHours', kind: 'number' },
  ],
  edits: false,
  once: (made) => ({ token: made.token }),
  inside: [accessList((p, i) => below(tokens, 'id')(p, i) + '/accessList')],
};

const workspaces = {
  key: 'workspaces',
  path: ofProject('streams'),
  accept: atlas('2023-02-01'),
  id: (w) => w.name,
  name: (w) => w.name,
  facts: ['_id', 'requireOCSF'],
  fields: [
    { name: 'name', required: true, most: 64, create: true },
    { name: 'requireOCSF', kind: 'flag' },
  ],
};

const settings = {
  key: 'settings',
  path: own('settings'),
  single: true,
  fields: [
    { name: 'retentionDays', kind: 'number' },
    { name: 'deletedLogRetentionDays', kind: 'number' },
    { name: 'legalHold', kind: 'flag' },
  ],
  // What may have events removed is confirmed: fewer days, or the end of a hold.
  destroys: (now, body) =>
    body.legalHold === false ||
    body.deletedLogRetentionDays === null ||
    ['retentionDays', 'deletedLogRetentionDays'].some((d) => body[d] && (now[d] === null || body[d] < now[d])),
};

const pauses = (item) => ({ key: item.paused ? 'resume' : 'pause', method: 'PATCH', body: { paused: !item.paused } });

// sourceState, and those like it, say in a word how something is, and what more there is to say.
const sourceState = (s, item) => ({
  word: item.paused ? 'PAUSED' : s.lastError ? 'FAILING' : s.lastSuccessAt ? 'CURRENT' : 'PENDING',
  error: s.lastError,
  facts: {
    lastSuccessAt: s.lastSuccessAt,
    behindSeconds: s.lastSuccessAt ? s.behindSeconds : null,
    recorded: s.recorded,
    refused: s.refused || null,
    unread: s.unread || null,
  },
});

const sources = {
  key: 'sources',
  path: own('sources'),
  id: (s) => s.id,
  name: (s) => s.name,
  facts: ['type', 'atlas.baseUrl', 'atlas.clientId', 'atlas.publicKey', 'atlas.collect', 'intervalSeconds'],
  fields: [
    { name: 'name', required: true, most: 64 },
    { name: 'atlas.baseUrl', example: 'https://cloud.mongodb.com' },
    { name: 'atlas.clientId' },
    { name: 'atlas.clientSecret', kind: 'secret' },
    { name: 'atlas.publicKey' },
    { name: 'atlas.privateKey', kind: 'secret' },
    { name: 'atlas.collect', kind: 'many', options: ['AUDIT', 'OPERATIONAL'], usual: ['AUDIT', 'OPERATIONAL'] },
    { name: 'atlas.projectIds', kind: 'words', none: [] },
    { name: 'atlas.workspaceNames', kind: 'words', none: [] },
    { name: 'atlas.workspaceNaming', example: '{workspace}', none: '' },
    { name: 'intervalSeconds', kind: 'number', usual: 300 },
    { name: 'atlas.caCertificates', kind: 'long', none: '' },
  ],
  body: (body) => ({ type: 'ATLAS', ...body }),
  actions: (s) => [pauses(s)],
  status: (p, s) => below(own('sources'), 'id')(p, s) + '/status',
  state: sourceState,
  brief: ['lastSuccessAt', 'recorded', 'refused'],
};

const deliveryState = (s) => ({
  word: s.state,
  error: s.failure?.error ?? s.parked[0]?.reason,
  facts: {
    lastDeliveredAt: s.lastDeliveredAt,
    lagEvents: s.lagEvents,
    lagSeconds: s.lagSeconds || null,
    parked: s.parked.length || null,
  },
});

// places are the fields of each kind of place; those with '*' are secret.
const places = {
  SPLUNK_LOG_EXPORT: ['hecUrl', '*hecToken', 'hecIndex', 'hecSourceType'],
  OTEL_LOG_EXPORT: ['otelEndpoint'],
  WEBHOOK_LOG_EXPORT: ['webhookUrl', '*webhookSecret'],
  ELASTIC_LOG_EXPORT: ['elasticUrl', 'index', '*apiKey', 'username', '*password'],
  DATADOG_LOG_EXPORT: ['region', '*apiKey', 'service', 'tags'],
  S3_LOG_EXPORT: ['bucketName', 'prefixPath', 'accessKeyId', '*secretAccessKey', 's3Endpoint', 's3Region', 's3Format'],
  SYSLOG_LOG_EXPORT: ['syslogAddress', 'syslogFormat', 'syslogHostname'],
  KAFKA_LOG_EXPORT: ['bootstrapServers', 'topic', 'mechanism', 'username', '*password'],
};
const choices = {
  s3Format: ['NDJSON', 'PARQUET'],
  syslogFormat: ['JSON', 'CEF'],
  mechanism: ['PLAIN', 'SCRAM-256', 'SCRAM-512'],
  region: ['US1', 'US3', 'US5', 'EU', 'AP1', 'AP2', 'US1_FED'],
};

// needed are those without which there is no delivery.
const needed = [
  'hecUrl',
  '*hecToken',
  'otelEndpoint',
  'webhookUrl',
  '*webhookSecret',
  'elasticUrl',
  'region',
  'bucketName',
  'accessKeyId',
  '*secretAccessKey',
  'syslogAddress',
  'bootstrapServers',
  'topic',
];

// placeFields returns the fields of all places, each shown for the places that have it.
function placeFields() {
  const names = [...new Set(Object.values(places).flat())];
  return names.map((name) => {
    const plain = name.replace('*', '');
    return {
      name: plain,
      kind: choices[plain] ? 'one' : name === plain ? 'text' : 'secret',
      options: choices[plain],
      required: needed.includes(name),
      only: (values) => places[values.type]?.includes(name),
    };
  });
}

const verb = (key) => ({ key, method: 'POST', verb: true, body: {} });

const deliveries = {
  key: 'deliveries',
  path: ofProject('logIntegrations'),
  accept: atlas('2025-03-12'),
  id: (d) => d.id,
  name: (d) =>
    d.hecUrl ?? d.otelEndpoint ?? d.webhookUrl ?? d.elasticUrl ?? d.bucketName ?? d.syslogAddress ?? d.topic ?? d.id,
  facts: ['id', 'type', 'logTypes', 'weir.workspaces', 'weir.filter', 'weir.createdAt'],
  fields: [
    {
      name: 'type',
      kind: 'one',
      required: true,
      options: Object.keys(places),
      usual: 'WEBHOOK_LOG_EXPORT',
      create: true,
    },
    {
      name: 'logTypes',
      kind: 'many',
      options: ['STREAMS_AUDIT', 'STREAMS_OPERATIONAL', 'EVENTS'],
      usual: ['STREAMS_AUDIT'],
    },
    ...placeFields(),
    {
      name: 'otelSuppliedHeaders',
      kind: 'long',
      only: (v) => v.type === 'OTEL_LOG_EXPORT',
      create: true,
      example: 'Authorization: Bearer …',
    },
    { name: 'weir.workspaces', kind: 'words', none: [] },
    { name: 'weir.filter', none: '' },
    { name: 'weir.from', create: true, example: 'now' },
    { name: 'caCertificate', kind: 'long', none: '' },
  ],
  body: (body) =>
    body.otelSuppliedHeaders === undefined
      ? body
      : {
          ...body,
          otelSuppliedHeaders: body.otelSuppliedHeaders
            .split('\n')
            .filter(Boolean)
            .map((line) => ({ name: line.split(':')[0].trim(), value: line.slice(line.indexOf(':') + 1).trim() })),
        },
  // A change sends all that there is; a secret that is sent as it was shown stays.
  method: 'PUT',
  // Logs that come to it begin where it began, unless that is an entry of one log: that may not be sent any more.
  whole: ({ weir: { workspaces, filter, from, batch } = {}, ...item }, body) => ({
    ...item,
    ...body,
    weir: {
      workspaces,
      filter,
      from: from?.includes('/') && (body.logTypes || body.weir?.workspaces) ? undefined : from,
      batch,
      ...body.weir,
    },
  }),
  verbs: own('logIntegrations'),
  actions: (d, s) => [verb(d.weir?.paused ? 'resume' : 'pause'), ...(s?.facts.parked ? [verb('retryParked')] : [])],
  status: (p, d) => below(own('logIntegrations'), 'id')(p, d) + '/status',
  state: deliveryState,
  brief: ['lastDeliveredAt', 'lagEvents', 'parked'],
};

const alertState = (s) => {
  const lasting = s.alerts.filter((a) => !a.resolvedAt);
  return {
    word: s.state,
    error: lasting.find((a) => a.text)?.text,
    lasting,
    facts: { alerts: lasting.length || null, firedAt: lasting[0]?.firedAt, evaluatedTo: s.evaluatedTo },
  };
};

const is =
  (...kinds) =>
  (values) =>
    kinds.includes(values.kind);

const alerts = {
  key: 'alerts',
  path: own('alerts'),
  id: (a) => a.id,
  name: (a) => a.name,
  facts: [
    'description',
    'severity',
    'kind',
    'query',
    'by',
    'count',
    'distinct',
    'field',
    'fewerThan',
    'within',
    'notSeenFor',
    'notify',
  ],
  fields: [
    { name: 'name', required: true, most: 64, example: 'failed-logons' },
    { name: 'description', most: 500 },
    { name: 'severity', kind: 'one', options: ['informational', 'low', 'medium', 'high', 'critical'], usual: 'medium' },
    {
      name: 'kind',
      kind: 'one',
      required: true,
      options: ['threshold', 'newValue', 'absence'],
      usual: 'threshold',
      create: true,
    },
    { name: 'query', example: 'outcome:failure' },
    { name: 'by', kind: 'parts' },
    { name: 'count', kind: 'number', only: is('threshold'), usual: 5 },
    { name: 'distinct', only: is('threshold') },
    { name: 'field', only: is('newValue'), example: 'from' },
    { name: 'notSeenFor', only: is('newValue'), example: '30d' },
    { name: 'fewerThan', kind: 'number', only: is('absence'), usual: 1 },
    { name: 'within', only: is('threshold', 'absence'), usual: '10m' },
    { name: 'delay', only: is('absence'), example: '5m' },
    { name: 'outside', example: 'Mon-Fri 08:00-18:00 Europe/Berlin' },
    { name: 'workspaces', kind: 'words' },
    { name: 'notify', kind: 'words' },
    { name: 'disabled', kind: 'flag' },
  ],
  status: (p, a) => below(own('alerts'), 'id')(p, a) + '/status',
  state: alertState,
  brief: ['alerts', 'firedAt'],
  lasts: ({ word }) => ['FIRING', 'TROUBLE', 'UNKNOWN'].includes(word),
};

const notifies =
  (...types) =>
  (values) =>
    types.includes(values.type);

const notifiers = {
  key: 'notifiers',
  path: own('alertNotifiers'),
  id: (n) => n.id,
  name: (n) => n.name,
  facts: ['type', 'url', 'address', 'from', 'to', 'createdAt'],
  fields: [
    { name: 'name', required: true, most: 64 },
    {
      name: 'type',
      kind: 'one',
      required: true,
      options: ['WEBHOOK', 'ALERTMANAGER', 'SMTP'],
      usual: 'WEBHOOK',
      create: true,
    },
    { name: 'url', only: notifies('WEBHOOK', 'ALERTMANAGER') },
    { name: 'address', only: notifies('SMTP'), example: 'mail.example.org:587' },
    { name: 'security', kind: 'one', options: ['STARTTLS', 'TLS'], only: notifies('SMTP') },
    { name: 'from', only: notifies('SMTP') },
    { name: 'to', kind: 'parts', only: notifies('SMTP') },
    { name: 'username', only: notifies('SMTP', 'ALERTMANAGER'), none: '' },
    { name: 'secret', kind: 'secret' },
    { name: 'ca', kind: 'long', none: '' },
  ],
  once: (made) => made.secret && { secret: made.secret },
};

export const resources = [
  workspaces,
  serviceAccounts,
  apiKeys,
  ingestTokens,
  sources,
  deliveries,
  alerts,
  notifiers,
  settings,
];

// watched are those with a state that the overview shows: brief says what of it, lasts which of them.
export const watched = [sources, deliveries, alerts];
