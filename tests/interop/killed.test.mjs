// A restore into a database that is killed at random moments, and finishes when it is run again, without writing anything twice.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSameDatabase, backUp, database, report, sources, start } from './harness.mjs';
import { keys, place } from './kit.mjs';

const KILLS = 4;
/** How long it runs between two looks at what it has written, in milliseconds. It stands still meanwhile: looking takes longer. */
const SLICE = 20;

/** Runs a restore until at least so many objects are there, then kills it. */
async function killedAt(count, target, ...args) {
  const restore = start('restore', ...args, '--target', target);
  const exit = once(restore, 'exit');
  while (restore.exitCode === null) {
    restore.kill('SIGSTOP');
    if ((await keys(place(target))).length >= count) break;
    restore.kill('SIGCONT');
    await sleep(SLICE);
  }
  restore.kill('SIGKILL');
  const [code, signal] = await exit;
  assert.equal(signal, 'SIGKILL', `the restore was over before it had written ${count} objects: exit code ${code}`);
}

test('a restore that was killed again and again finishes, and writes nothing twice', async (t) => {
  const { url } = sources.second;
  const { backup, local } = await backUp('killed', url);
  const target = await database('killed');
  const whole = (await keys(place(url))).length;
  const moments = Array.from({ length: KILLS }, () => Math.floor(Math.random() * whole * 0.8)).sort((a, b) => a - b);
  t.diagnostic(`killed at ${moments.join(', ')} of ${whole} objects`);

  for (const count of moments) {
    await killedAt(count, target, backup.id, '--at', local);
    assert.ok(!(await keys(place(target))).includes('s3db.json'), 'what is half restored is no database');
  }
  const present = (await keys(place(target))).filter((key) => key !== 'teeline-restore.json');
  const records = present.filter((key) => /^resource=[^/]+\/data\//.test(key)).length;

  const { restored, objects } = report(0, 'restore', backup.id, '--at', local, '--target', target);
  const sum = (name) => restored.reduce((total, resource) => total + resource[name], 0);
  const counts = { created: sum('created'), left: sum('left'), replaced: sum('replaced'), deleted: sum('deleted') };
  assert.deepEqual(counts, { created: backup.recordCount - records, left: records, replaced: 0, deleted: 0 });
  const others = present.length - records;
  assert.deepEqual(objects, { created: backup.objectCount - others, left: others, replaced: 0, deleted: 0 });
  assertSameDatabase(target, url);
});
