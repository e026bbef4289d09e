// The sinks' own conformance suite, against this server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { bucket, run } from './harness.mjs';

test('the S3 sink conforms', async () => {
  const env = { ...process.env, TEELINE_TEST_S3: await bucket('conformance') };
  const cwd = join(import.meta.dirname, '../..');
  const { code, stdout, stderr } = run('cargo', ['test', '-p', 'teeline-sinks', '--test', 'real_server', '--locked'], { env, cwd, timeout: 1_800_000 });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const passed = /^test result: ok\. (\d+) passed/m.exec(stdout)?.[1];
  assert.ok(passed > 0, `no test ran\n${stdout}`);
});
