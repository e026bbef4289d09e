// What the scripts and the tests share: opening a database, writing a described one, printing documents as JSON, and plain S3.
import { writeFileSync } from 'node:fs';
import { S3db } from 's3db.js/lite';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';

/** What secrets are sealed with. */
export const passphrase = process.env.S3DB_PASSPHRASE ?? 'interop passphrase ç';

/** Opens a database. s3db.js ignores a top-level `passphrase` option (it then uses the word "secret"), so it goes in `security`. */
export async function open(url) {
  const db = new S3db({
    connectionString: url,
    security: { passphrase },
    logLevel: 'error',
    executorPool: { retries: 0 }, // its default retries every "not found" three times with seconds between
    clientOptions: { httpClientOptions: { useReckerHandler: false } }, // recker reports every 204, the answer to a delete, as an error
  });
  await db.ensureClientInitialized();
  await db.client.sendCommand(new CreateBucketCommand({ Bucket: db.client.config.bucket })).catch((error) => {
    if (!/BucketAlready(Exists|OwnedByYou)/.test(`${error.code} ${error.message}`)) throw error;
  });
  await db.connect();
  return db;
}

/** The ids of a resource, whatever their number (listIds() stops at 1,000). */
export async function ids(db, resource) {
  const prefix = `resource=${resource}/data/id=`;
  return (await db.client.getAllKeys({ prefix })).map((key) => key.slice(prefix.length));
}

/** What is behind http://KEY:SECRET@HOST:PORT/bucket/prefix: a client, the bucket, and the prefix as s3db.js takes it, with its slash, or ''. */
export function place(address) {
  const url = new URL(address);
  const [, bucket, ...rest] = url.pathname.replace(/\/$/, '').split('/');
  const s3 = new S3Client({
    endpoint: url.origin, region: 'us-east-1', forcePathStyle: true,
    credentials: { accessKeyId: decodeURIComponent(url.username), secretAccessKey: decodeURIComponent(url.password) },
  });
  return { s3, bucket, prefix: rest.length ? `${rest.join('/')}/` : '' };
}

/** The keys at a place, without its prefix, in byte order. */
export async function keys({ s3, bucket, prefix }) {
  const found = [];
  for (let token; ;) {
    const page = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }));
    found.push(...(page.Contents ?? []).map(({ Key }) => Key.slice(prefix.length)));
    if (!(token = page.NextContinuationToken)) return found.sort(by((key) => key));
  }
}

/** What s3db.js reads for a record, less the two fields that a restore changes; a non-JSON body comes back as $content. */
export async function read(resource, id) {
  try {
    const { _lastModified, _etag, ...doc } = await resource.get(id);
    if (doc._hasContent && doc._mimeType !== 'application/json') doc.$content = (await resource.content(id)).buffer;
    return pack(doc);
  } catch (error) {
    return { $error: error.name };
  }
}

/** A value as JSON can hold it: {"$bytes": base64}, {"$date": ISO}, {"$number": "NaN" | "Infinity" | "-Infinity" | "-0"}. */
export function pack(value) {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof Date) return { $date: value.toISOString() };
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) return { $number: Object.is(value, -0) ? '-0' : String(value) };
  if (Array.isArray(value)) return value.map(pack);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).sort(by((e) => e[0])).map(([k, v]) => [k, pack(v)]));
  return value;
}

export const by = (key) => (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);

/** Runs fn over items, at most `width` at a time. */
export async function each(items, fn, width = 20) {
  const queue = items.entries();
  await Promise.all(Array.from({ length: width }, async () => {
    for (const [index, item] of queue) await fn(item, index);
  }));
}

/** A deterministic random source (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const int = (min, max) => min + Math.floor(next() * (max - min + 1));
  const pick = (list) => list[int(0, list.length - 1)];
  const word = (length = int(2, 11)) => Array.from({ length }, () => pick('abcdefghijklmnopqrstuvwxyz')).join('');
  const text = (words) => Array.from({ length: words }, () => word()).join(' ');
  return { next, int, pick, word, text };
}

// Timestamps are pinned, so that two runs with the same seed give the same documents.
const stamp = (id) => new Date(1.7e12 + [...id].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 9e10, 7)).toISOString();
const pin = {
  beforeInsert: [(doc) => ({ ...doc, createdAt: stamp(doc.id), updatedAt: stamp(doc.id) })],
  beforeUpdate: [(doc) => ({ ...doc, updatedAt: stamp(`${doc.id}!`), metadata: { updatedAt: stamp(`${doc.id}!`) } })],
};

/**
 * Writes the described resources and then `file`: one JSON line per record, {resource, id, put, got}.
 * A resource is {name, versions, ...createResource options}; a version is {attributes, docs, contents, updates, deletes},
 * where contents gives some ids a binary body, and updates are [id, fields].
 */
export async function seed(url, resources, file) {
  const put = new Map();
  const versions = Math.max(...resources.map((r) => r.versions.length));
  for (let version = 0; version < versions; version++) {
    const db = await open(url); // a new connection per version: within one, s3db.js renumbers the attributes
    for (const { name, versions: { [version]: schema }, ...options } of resources) {
      if (!schema) continue;
      const { attributes, docs = [], contents = {}, updates = [], deletes = [] } = schema;
      const resource = await db.createResource({ name, attributes, asyncPartitions: false, hooks: options.timestamps ? pin : {}, ...options });
      await each(docs, async (doc) => {
        const { id } = await resource.insert(doc, contents[doc.id]).catch((error) => { throw new Error(`${name} ${doc.id}: ${error.message}`); });
        put.set(JSON.stringify([name, id]), { id, ...doc });
      }, options.idGenerator ? 1 : 20);
      for (const [id, fields] of updates) {
        const key = JSON.stringify([name, id]);
        await resource.update(id, fields);
        put.set(key, { ...put.get(key), ...fields });
      }
      for (const id of deletes) {
        await resource.delete(id);
        put.delete(JSON.stringify([name, id]));
      }
    }
    await db.disconnect();
  }

  const db = await open(url);
  const lines = [...put].map(([key, doc]) => ({ key, resource: JSON.parse(key)[0], id: doc.id, put: pack(doc) })).sort(by((line) => line.key));
  await each(lines, async (line) => {
    line.got = await read(db.resources[line.resource], line.id);
  });
  await db.disconnect();
  writeFileSync(file, lines.map(({ key, ...line }) => `${JSON.stringify(line)}\n`).join(''));
  console.error(`${lines.length} records in ${resources.length} resources; expectations in ${file}`);
}
