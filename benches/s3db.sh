#!/usr/bin/env bash
# Measures backups and restores of an s3db.js database against bare GETs and PUTs, and against s3db.js itself, on one server.
# usage: s3db.sh [RECORDS [ROUNDS]]      20,000 records and 3 rounds by default; about five minutes
# Needs what tests/interop/run.sh needs, and Linux.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$CARGO_TARGET_DIR/interop"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd) # it may be relative to where we were called
records=${1:-20000} rounds=${2:-3}
[[ $# -le 2 && $records =~ ^[1-9][0-9]*$ && $rounds =~ ^[1-9][0-9]*$ ]] || { sed -n '2,4p' "$0" >&2; exit 2; }

run=$(mktemp -d "$CARGO_TARGET_DIR/interop/bench-XXXXXX")
finish() {
  if [[ -f $run/weed.pid ]]; then "$root/tests/interop/server.sh" --stop "$run"; fi
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$root/tests/interop/install.sh" >&2
export PATH=$CARGO_TARGET_DIR/interop/venv/bin:$PATH
cargo build --release --quiet --locked --manifest-path "$root/Cargo.toml" -p teeline-cli -p teeline-sinks --bin teeline --example bare_s3

port=$("$root/tests/interop/start.sh" "$run")
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
python3 "$root/benches/s3db.py" "$CARGO_TARGET_DIR/release" "$run" "$port" "$records" "$rounds"
