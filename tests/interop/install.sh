#!/usr/bin/env bash
# Installs what the interop tests and the benchmarks need besides cargo: s3db.js into node_modules here, and what
# requirements.txt names into $CARGO_TARGET_DIR/interop/venv. What is there already stays.
# usage: CARGO_TARGET_DIR=DIR install.sh
set -euo pipefail

cd "$(dirname "$0")"
for tool in cargo node npm python3 curl gzip; do
  command -v "$tool" > /dev/null || { echo "$tool is needed" >&2; exit 2; }
done

if ! cmp -s package-lock.json node_modules/installed-lock.json; then
  echo 'installing s3db.js'
  npm ci --ignore-scripts --omit=optional --loglevel=error
  cp package-lock.json node_modules/installed-lock.json
fi

venv=$CARGO_TARGET_DIR/interop/venv
if ! cmp -s requirements.txt "$venv/installed.txt"; then
  echo 'installing SeaweedFS, DuckDB, pandas and cryptography'
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
  cp requirements.txt "$venv/installed.txt"
fi
