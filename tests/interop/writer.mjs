// Inserts, updates and deletes records all along, and logs every version of every record, until it is told to stop.
// usage: node writer.mjs URL LOG    prints "ready" once its first records are there; SIGTERM ends it, after what it had begun
// A write is two lines of LOG: {write, resource, id, doc, at} before it and {write, at} after it; doc is null for a deletion.
import { openSync, writeSync } from 'node:fs';
import { each, open, random } from './kit.mjs';

const [url, path] = process.argv.slice(2);
const { next, int, pick, word, text } = random(5);

/** By each way to store a record. All values are such that s3db.js reads what was put. */
const resources = {
  accounts: {
    behavior: 'user-managed', partitions: { byTier: { fields: { tier: 'string' } } }, attributes: { revision: 'number|integer:true', owner: 'string', tier: 'string', open: 'boolean' },
    make: () => ({ owner: text(3), tier: pick(['gold', 'silver']), open: next() < 0.5 }),
  },
  journals: { behavior: 'body-overflow', timestamps: true, attributes: { revision: 'number|integer:true', title: 'string', score: 'number' }, make: () => ({ title: text(4), score: int(-400, 400) / 4 }) },
  parcels: { behavior: 'body-overflow', attributes: { revision: 'number|integer:true', tags: 'array|items:string', content: 'string' }, make: () => ({ tags: [word(), word()], content: text(600) }) },
  papers: { behavior: 'body-only', attributes: { revision: 'number|integer:true', by: { name: 'string', year: 'number' }, content: 'string' }, make: () => ({ by: { name: text(2), year: int(1900, 2000) }, content: text(100) }) },
};
/** Of each resource: records that are never touched again, and records that are written all along. */
const STILL = 40;
const MOVING = 40;
const LANES = 4;

const log = openSync(path, 'a');
let writes = 0;
/** Carries a write out, between its two lines. */
async function logged(entry, write) {
  const number = ++writes;
  writeSync(log, `${JSON.stringify({ write: number, ...entry, at: Date.now() })}\n`);
  await write();
  writeSync(log, `${JSON.stringify({ write: number, at: Date.now() })}\n`);
}

const db = await open(url);
const made = [];
for (const [name, { make, ...options }] of Object.entries(resources)) {
  const resource = await db.createResource({ name, asyncPartitions: false, ...options });
  made.push({ name, resource, version: () => ({ revision: writes + 1, ...make() }) });
}
const insert = ({ name, resource, version }, id) => {
  const doc = { id, ...version() };
  return logged({ resource: name, id, doc }, () => resource.insert(doc));
};
const update = ({ name, resource, version }, id) => {
  const fields = version();
  return logged({ resource: name, id, doc: { id, ...fields } }, () => resource.update(id, fields));
};
const remove = ({ name, resource }, id) => logged({ resource: name, id, doc: null }, () => resource.delete(id));

const there = made.flatMap((at) => Array.from({ length: STILL }, (_, i) => [at, `still-${i}`]));
await each(there, ([at, id]) => insert(at, id));

let stopping = false;
process.on('SIGTERM', () => { stopping = true; });
console.log('ready');
const lanes = Array.from({ length: LANES }, async (_, lane) => {
  const present = new Set(); // a record is written by one lane only, so its versions follow each other
  while (!stopping) {
    const at = pick(made);
    const id = `moving-${int(0, MOVING / LANES - 1) * LANES + lane}`;
    const key = `${at.name} ${id}`;
    if (!present.has(key)) {
      await insert(at, id);
      present.add(key);
    } else if (next() < 0.7) {
      await update(at, id);
    } else {
      await remove(at, id);
      present.delete(key);
    }
  }
});
await Promise.all(lanes);
await db.disconnect();
