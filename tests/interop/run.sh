#!/usr/bin/env bash
# Runs the interop tests: the teeline binary against the real s3db.js and a real S3 server.
# usage: run.sh [--keep]      --keep leaves the server running and the files in place, and says where
# Needs cargo, Node 20.11 or later, Python 3.11 to 3.14 with venv, and curl.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$CARGO_TARGET_DIR/interop"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd) # it may be relative to where we were called
cd "$root/tests/interop"

keep=no
case "$*" in
  '') ;;
  --keep) keep=yes ;;
  *) sed -n '2,4p' run.sh >&2; exit 2 ;;
esac
run=$(mktemp -d "$CARGO_TARGET_DIR/interop/s3-XXXXXX")

finish() {
  local status=$?
  if [[ $keep == yes && -f $run/weed.pid ]]; then
    echo "the server runs on, as ${TEELINE_INTEROP_S3:-}; its data and the tests' files are in $run; tests/interop/server.sh --stop $run ends it" >&2
    return
  fi
  if [[ -f $run/weed.pid ]]; then ./server.sh --stop "$run"; fi
  if ((status == 0)); then rm -rf "$run"; else echo "the server's log and the tests' files are in $run" >&2; fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%4d s  %s\n' "$SECONDS" "$1"; }

say 'installing'
./install.sh
export PATH=$CARGO_TARGET_DIR/interop/venv/bin:$PATH

say 'building teeline'
cargo build --quiet --manifest-path "$root/Cargo.toml" -p teeline-cli --locked

say 'starting the server'
port=$(./start.sh "$run")
export TEELINE_INTEROP_S3="http://AKIATEST:secretkey123@127.0.0.1:$port" TEELINE_INTEROP_DIR=$run/work TEELINE=$CARGO_TARGET_DIR/debug/teeline
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
mkdir "$run/work"

say "seeding two databases (server on port $port)"
seed() { node seed.mjs "$TEELINE_INTEROP_S3/$1?forcePathStyle=true" "$2" "$3" "$TEELINE_INTEROP_DIR/$1.jsonl"; }
seed source 1 2500 & seeding=$!
seed second 2 300
wait "$seeding"

say 'testing'
status=0
node --test --test-concurrency=1 \
  --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap --test-reporter-destination="$run/results.tap" \
  ./*.test.mjs || status=$?
say 'done'

count() { awk -v name="$1" '$1 == "#" && $2 == name { n = $3 } END { print n + 0 }' "$run/results.tap"; }
passed=$(count pass) failed=$(($(count fail) + $(count cancelled)))
# A runner that died, or found nothing to run, is a failure too.
if ((failed == 0 && (status != 0 || passed == 0))); then failed=1; fi
echo "$passed passed, $failed failed"
((failed == 0))
