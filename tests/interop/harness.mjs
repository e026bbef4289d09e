// What the tests share: places to use, running the binary, and looking at what it left there.
// run.sh sets TEELINE (the binary), TEELINE_INTEROP_S3 (the server) and TEELINE_INTEROP_DIR (a folder for the tests).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { CreateBucketCommand, DeleteObjectCommand, GetObjectCommand } from '@aws-sdk/client-s3';
import { by, each, keys, place } from './kit.mjs';

const { TEELINE: binary, TEELINE_INTEROP_S3: server, TEELINE_INTEROP_DIR: work } = process.env;
if (!binary || !server || !work) throw new Error('run these tests with tests/interop/run.sh');

/** The databases that run.sh has seeded, by two seed numbers; and what to expect of their records. No test changes them. */
const seeded = (name) => ({ url: `${server}/${name}?forcePathStyle=true`, expected: join(work, `${name}.jsonl`) });
export const sources = { source: seeded('source'), second: seeded('second') };
export const source = sources.source.url;

// Nobody's own AWS settings get into a test.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_')));

/** A new empty folder. */
export const folder = (name) => mkdtempSync(join(work, `${name}-`));

/** The URL of a new empty bucket. */
export async function bucket(name) {
  const url = `${server}/${name}-${randomBytes(4).toString('hex')}`;
  const { s3, bucket: Bucket } = place(url);
  await s3.send(new CreateBucketCommand({ Bucket }));
  return url;
}

/** The connection string of a new empty database. */
export const database = async (name) => `${await bucket(name)}?forcePathStyle=true`;

/** Runs a command to its end, five minutes at most: {code, stdout, stderr}, where code is the signal's name if one ended it. */
export function run(command, args, options = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { timeout: 300_000, maxBuffer: 2 ** 29, stdio: ['ignore', 'pipe', 'pipe'], env, ...options });
  if (error && !signal) throw error;
  return { code: signal ?? status, stdout, stderr };
}

/** Runs teeline, which must exit with `code`, and returns what it printed. */
export function teeline(code, ...args) {
  const seen = run(binary, args);
  assert.equal(seen.code, code, `exit code of teeline ${args.join(' ')}\n${seen.stdout}\n${seen.stderr}`);
  return seen.stdout.toString();
}

/** Starts teeline, and doesn't wait for it. */
export const start = (...args) => spawn(binary, args, { stdio: 'ignore', env });

/** As `teeline`, for what it prints with --json, which must be one document and nothing else. */
export const report = (code, ...args) => JSON.parse(teeline(code, ...args, '--json'));

/** A full backup of a database to a folder, `local`, and a place in a new bucket, `remote`; `files` is its folder in `local`. */
export async function backUp(name, from = source, ...options) {
  const local = folder(`${name}-local`);
  const remote = `${await bucket(name)}/copy`;
  const backup = report(0, 'backup', 'full', '--connection', from, '--to', `local=${local}`, '--to', `remote=${remote}`, ...options);
  return { backup, local, remote, files: join(local, backup.id) };
}

/** The ids that are listed at some destinations, newest first. */
export function listed(...destinations) {
  const answer = report(0, 'list', ...destinations.flatMap((destination) => ['--at', destination]));
  return (Array.isArray(answer) ? answer : answer.backups).map(({ id }) => id);
}

/** What a folder holds: path (with /) -> bytes. */
export function filesIn(root) {
  const paths = readdirSync(root, { recursive: true }).map((name) => join(root, name)).filter((path) => statSync(path).isFile());
  return new Map(paths.map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path)]).sort(by(([path]) => path)));
}

/** What a bucket holds below a prefix: key -> bytes. */
export async function objectsIn(url) {
  const at = place(url);
  const objects = (await keys(at)).map((key) => [key]);
  await each(objects, async (object) => {
    const { Body } = await at.s3.send(new GetObjectCommand({ Bucket: at.bucket, Key: at.prefix + object[0] }));
    object.push(Buffer.from(await Body.transformToByteArray()));
  });
  return new Map(objects);
}

/** Removes the object behind a URL. */
export async function removeObject(url) {
  const { s3, bucket: Bucket, prefix } = place(url);
  await s3.send(new DeleteObjectCommand({ Bucket, Key: prefix.slice(0, -1) }));
}

/** The records that the source holds: resource -> number of objects below its data/. Resources without records are left out. */
export async function recordsInSource() {
  const counts = new Map();
  for (const key of await keys(place(source))) {
    const resource = /^resource=([^/]+)\/data\//.exec(key)?.[1];
    if (resource) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  }
  return counts;
}

/** The data files of a backup, in order: [{resource, path}]. */
export function dataFiles(files) {
  const names = readdirSync(files).sort(by((name) => name)); // `users.jsonl.gz` sorts before `users~0002.jsonl.gz`
  return names.flatMap((name) => {
    const resource = /^([^_~][^~]*)(~\d+)?\.jsonl(\.(gz|zz|br))?$/.exec(name)?.[1];
    return resource ? [{ resource, path: join(files, name) }] : [];
  });
}

/** The records of a backup's data files, of which `decode` makes what is packed: resource -> JSON lines. Resources without records are left out. */
export function recordsIn(files, decode = gunzipSync) {
  const records = new Map();
  for (const { resource, path } of dataFiles(files)) {
    const bytes = readFileSync(path);
    const lines = path.endsWith('.jsonl') ? bytes : decode(bytes);
    records.set(resource, Buffer.concat([records.get(resource) ?? Buffer.alloc(0), lines]));
  }
  return new Map([...records].filter(([, lines]) => lines.length > 0));
}

/** The same as documents, with what stands under `_s3db` in them: [{resource, document}]. */
export const documentsIn = (files) => [...recordsIn(files)].flatMap(([resource, lines]) => parsed(lines).map((document) => ({ resource, document })));

/** JSON lines as values. */
export const parsed = (lines) => lines.toString().trimEnd().split('\n').map((line) => JSON.parse(line));

/** The records that were restored into a folder, likewise. */
export function restoredIn(target) {
  const files = [...filesIn(target)].filter(([path, bytes]) => /^[^_/][^/]*\.jsonl$/.test(path) && bytes.length > 0);
  return new Map(files.map(([path, bytes]) => [path.slice(0, -'.jsonl'.length), bytes]));
}

/** The lines that raw.mjs or dump.mjs prints, less the locks that a database may hold. */
export function print(script, url, ...args) {
  const { code, stdout, stderr } = run(process.execPath, [script, url, ...args], { cwd: import.meta.dirname, env: process.env });
  assert.equal(code, 0, `${script} ${url}\n${stderr}`);
  const lock = /^\{"key":"([^"]*\/sequence=[^"]*\/lock|plugin=s3db-core\/locks\/[^"]*)"/;
  return stdout.toString().split('\n').filter((line) => !lock.test(line));
}

const printed = new Map();
/** As `print`, for a database that doesn't change: each is printed once. */
function printOnce(...call) {
  const key = call.join(' ');
  if (!printed.has(key)) printed.set(key, print(...call));
  return printed.get(key);
}

/** Fails unless a database holds the same objects as `original`, byte for byte, and the same to s3db.js; `original` must not change. */
export function assertSameDatabase(actual, original) {
  for (const [script, ...args] of [['raw.mjs'], ['dump.mjs', '--index']]) {
    assert.deepEqual(print(script, actual, ...args), printOnce(script, original, ...args), script);
  }
}

/** Fails unless two maps of bytes have the same keys and bytes; names what differs, and prints no bytes. */
export function assertSameBytes(actual, expected, what) {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort(), `${what}: names`);
  const different = [...expected.keys()].filter((key) => !actual.get(key).equals(expected.get(key)));
  assert.deepEqual(different, [], `${what}: names whose bytes differ`);
}
