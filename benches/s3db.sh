#!/usr/bin/env bash
# Measures backups and restores of an s3db.js database against bare GETs and PUTs, and against s3db.js itself, on one server.
# usage: s3db.sh [RECORDS [ROUNDS]]      20,000 records and 3 rounds by default; about five minutes
# Needs what tests/interop/run.sh needs, and Linux.
set -euo pipefail

records=${1:-20000} rounds=${2:-3}
[[ $# -le 2 && $records =~ ^[1-9][0-9]*$ && $rounds =~ ^[1-9][0-9]*$ ]] || { sed -n '2,4p' "$0" >&2; exit 2; }

source "$(dirname "$0")/prepare.sh"
build bare_s3
port=$("$root/tests/interop/start.sh" "$run")
python3 "$root/benches/s3db.py" "$CARGO_TARGET_DIR/release" "$run" "$port" "$records" "$rounds"
