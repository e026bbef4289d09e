// A destination that nothing answers at, under the two strategies that see it differently.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folder, listed, report, source, teeline } from './harness.mjs';

const dead = 'dead=http://AKIATEST:secretkey123@127.0.0.1:1/backups/copy';
const backUp = (strategy, alive) => ['backup', 'full', '--connection', source, '--to', `alive=${alive}`, '--to', dead, '--strategy', strategy];

test('under `all` the backup fails, and is listed nowhere', () => {
  const alive = folder('all');
  teeline(1, ...backUp('all', alive));
  assert.deepEqual(listed(alive), []);
});

test('under `any` the backup is degraded, listed and whole', () => {
  const alive = folder('any');
  const { id } = report(3, ...backUp('any', alive));
  assert.deepEqual(listed(alive), [id]);
  report(0, 'verify', id, '--at', alive);
});
