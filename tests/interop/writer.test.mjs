// A database that is written to all along, through ten backups: each verifies and restores, and holds only what was there while it was read.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { assertSameBytes, bucket, database, documentsIn, folder, parsed, print, recordsIn, report, restoredIn, teeline } from './harness.mjs';

const BACKUPS = 10;

let source;
let log;
let writer;
before(async () => {
  source = await database('writer');
  log = join(folder('writer'), 'log.jsonl');
  writer = spawn(process.execPath, [join(import.meta.dirname, 'writer.mjs'), source, log], { stdio: ['ignore', 'pipe', 'inherit'] });
  const first = await Promise.race([once(writer.stdout, 'data'), once(writer, 'exit')]);
  assert.equal(String(first[0]), 'ready\n');
});
after(() => writer.kill('SIGKILL'));

/** The versions of each record, in order, from the writer's log: {doc, began, ended}. */
function versions() {
  const records = new Map();
  const writes = new Map();
  for (const { write, resource, id, doc, at } of parsed(readFileSync(log))) {
    if (resource === undefined) {
      writes.get(write).ended = at;
      continue;
    }
    const key = `${resource} ${id}`;
    const version = { key, doc, began: at, ended: Infinity };
    writes.set(write, version);
    records.set(key, [...(records.get(key) ?? [{ key, doc: null, began: 0, ended: 0 }]), version]);
  }
  return records;
}

/** The versions of a record that were there at some time between two; null for none. */
const between = (history, start, end) => history.filter(({ began }, i) => began <= end && (history[i + 1]?.ended ?? Infinity) >= start).map(({ doc }) => doc);

/** A document less what s3db.js and teeline add. */
const own = (document) => Object.fromEntries(Object.entries(document).filter(([name]) => !/^(_.*|createdAt|updatedAt|metadata|metadata_updatedat)$/.test(name)));

/** Fails unless each document is a version of its record that was there between two times, and each record that was there all that time is one. */
function assertWereThere(documents, records, { start, end }, what) {
  const found = new Map(documents.map(({ resource, document }) => [`${resource} ${document.id}`, own(document)]));
  assert.equal(found.size, documents.length, `${what}: ids are there twice`);
  for (const [key, document] of found) assert.ok(records.has(key), `${what}: ${key} was never written: ${JSON.stringify(document)}`);
  for (const [key, history] of records) {
    const possible = between(history, start, end);
    const document = found.get(key) ?? null;
    assert.ok(possible.some((doc) => isDeepStrictEqual(doc, document)), `${what}: ${key} is ${JSON.stringify(document)}, not one of ${JSON.stringify(possible)}`);
  }
}

test('ten backups of a database that is being written to are each of what was there', async (t) => {
  const local = folder('writer-local');
  const remote = `${await bucket('writer')}/copy`;
  const made = [];
  for (let i = 0; i < BACKUPS; i++) {
    const { id, vanished } = report(0, 'backup', 'full', '--connection', source, '--to', `local=${local}`, '--to', `remote=${remote}`);
    const { source: scan } = report(0, 'status', id, '--at', local);
    made.push({ id, vanished, start: Date.parse(scan.scanStartedAt), end: Date.parse(scan.scanEndedAt) });
    assert.equal(writer.exitCode, null, 'the writer goes on');
  }
  writer.kill('SIGTERM');
  const [code] = await once(writer, 'exit');
  assert.equal(code, 0);

  const records = versions();
  const during = [...records.values()].flat().filter(({ began, ended }) => made.some(({ start, end }) => began >= start && ended <= end));
  t.diagnostic(`${during.length} writes during the scans; ${made.map(({ vanished }) => vanished).join(', ')} objects vanished`);
  assert.ok(during.some(({ doc }) => doc === null), 'records are deleted during the scans');
  assert.ok(during.length > BACKUPS, `${during.length} writes during the scans`);

  for (const [i, { id, ...window }] of made.entries()) {
    const files = join(local, id);
    assertWereThere(documentsIn(files), records, window, id);
    report(0, 'verify', id, '--at', `local=${local}`, '--at', `remote=${remote}`);
    const target = folder('writer-restored');
    teeline(0, 'restore', id, '--at', i % 2 ? local : remote, '--target', target);
    assertSameBytes(restoredIn(target), recordsIn(files), id);
  }

  for (const { id, ...window } of [made.at(0), made.at(-1)]) {
    const target = await database('writer-restored');
    teeline(0, 'restore', id, '--at', local, '--target', target);
    const documents = parsed(print('dump.mjs', target).join('\n')).map(({ resource, doc }) => ({ resource, document: doc }));
    assertWereThere(documents, records, window, `${id} to s3db.js`);
  }
});
