// The sinks' own conformance suite, and the faults of the wire, against this server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { bucket, run } from './harness.mjs';

const suite = async (name, ...tests) => {
  const env = { ...process.env, TEELINE_TEST_S3: await bucket(name.replaceAll('_', '-')) };
  const cwd = join(import.meta.dirname, '../..');
  const { code, stdout, stderr } = run('cargo', ['test', '--workspace', '--test', name, '--locked', ...tests], { env, cwd, timeout: 1_800_000 });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const passed = /^test result: ok\. (\d+) passed/m.exec(stdout)?.[1];
  assert.ok(passed > 0, `no test ran\n${stdout}`);
};

test('the S3 sink conforms', () => suite('real_server'));

test('each fault of the wire comes to what it has to', () => suite('wire_faults'));

test('killed at random moments, a backup is whole or not there', () => suite('crash', 'sigkill_at_any_moment'));

test('whatever is done in whatever order, nothing is lost', () => suite('soak'));
