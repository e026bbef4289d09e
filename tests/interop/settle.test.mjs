// Backups that read again what s3db.js changed while they read: in the end they are the database as it is.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { bucket, folder, print, report, teeline } from './harness.mjs';
import { open } from './kit.mjs';

const RECORDS = 300;
const WRITERS = 3;

let url;
let db;
/** The ids of those that are there while nobody writes. */
const living = new Set();
let revision = 0;

/** A document of an id; no two are the same. Some of them go into the body, and some to another partition than before. */
function document(id) {
  revision += 1;
  const text = `${revision} `.repeat(revision % 10 === 0 ? 400 : 1).trim();
  return { id, revision, area: `area-${revision % 5}`, text };
}

async function insert(orders, id) {
  await orders.insert(document(id));
  living.add(id);
}

before(async () => {
  url = `${await bucket('settle')}/db?forcePathStyle=true`;
  db = await open(url);
  const orders = await db.createResource({
    name: 'orders',
    behavior: 'body-overflow',
    attributes: { revision: 'number|required', area: 'string|required', text: 'string|required' },
    partitions: { byArea: { fields: { area: 'string' } } },
    asyncPartitions: false,
  });
  for (let n = 0; n < RECORDS; n += 1) await insert(orders, `id-${n}`);
});
after(() => db.disconnect());

/** Inserts, updates and deletes until it is told to stop: a function that does so and waits. */
function write() {
  const orders = db.resources.orders;
  let stopped = false;
  const work = async (writer) => {
    // Each of them has ids of its own, so that it knows what is there.
    const there = [...living].filter((id) => Number(id.split('-')[1]) % WRITERS === writer);
    for (let turn = 0; !stopped; turn += 1) {
      const at = (turn * 7) % there.length;
      if (turn % 3 === 0) {
        const { id, ...attributes } = document(there[at]);
        await orders.update(id, attributes);
      } else if (turn % 3 === 1) {
        const id = `id-${RECORDS + revision * WRITERS + writer}`;
        await insert(orders, id);
        there.push(id);
      } else {
        const [id] = there.splice(at, 1);
        await orders.delete(id);
        living.delete(id);
      }
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) => work(writer));
  return async () => {
    stopped = true;
    await Promise.all(writers);
  };
}

/** Runs a backup while others go on in this process: its report. */
function backUp(local, ...args) {
  const child = spawn(process.env.TEELINE, ['backup', '--connection', url, '--to', `local=${local}`, '--json', ...args]);
  let stdout = '';
  child.stdout.on('data', (data) => { stdout += data; });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      try {
        assert.equal(code, 0, stdout);
        resolve(JSON.parse(stdout));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** A backup that settled once the writers had stopped, while `meanwhile` was done: what was made, and where. */
async function settled(meanwhile) {
  for (let attempt = 1; ; attempt += 1) {
    const local = folder('settle-local');
    const stop = write();
    let stopped = false;
    const settling = backUp(local, '--settle=100').then((made) => ({ made, early: !stopped }));
    await meanwhile(attempt);
    await stop();
    stopped = true;
    const { made, early } = await settling;
    // Where no writer had its turn for the length of a pass, it settled before they stopped; where the machine was busy, they had
    // stopped before it had begun.
    const together = !early && made.settle.records.created > 0;
    if (!together && attempt < 5) continue;
    assert.equal(made.settle.outcome, 'settled');
    assert.ok(made.settle.passes > 1 && made.settle.records.created > 0, JSON.stringify(made.settle));
    return { made, local };
  }
}

/** Restores a backup to a new place, which must be the database as it is. */
async function assertRestoresAsItIs({ made, local }) {
  teeline(0, 'verify', made.id, '--deep', '--at', local);
  const target = `${await bucket('settle-back')}/db?forcePathStyle=true`;
  const { restored } = report(0, 'restore', made.id, '--at', local, '--target', target);
  assert.equal(restored[0].recordsRestored, made.recordCount);
  assert.deepEqual(print('raw.mjs', target), print('raw.mjs', url));
  assert.deepEqual(print('dump.mjs', target, '--index'), print('dump.mjs', url, '--index'));
}

test('a backup that settles is the database as it was when the writers stopped', async () => {
  await assertRestoresAsItIs(await settled(() => pause(4000)));
});

test('a resource that is created meanwhile comes with it', async () => {
  const made = await settled(async (attempt) => {
    const other = await open(url);
    const notes = await other.createResource({ name: `notes-${attempt}`, attributes: { text: 'string' } });
    await notes.insert({ id: 'first', text: 'of a resource that is new' });
    await other.disconnect();
  });
  await assertRestoresAsItIs(made);
});
