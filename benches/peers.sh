#!/usr/bin/env bash
# Measures teeline beside what one would run instead, pair by pair, and prints a table of ratios.
# usage: peers.sh [--quick] [--rounds N] [--rows A,B,…] [--write]
#        --quick    a tenth of the data, one round: under five minutes
#        --rows     only these; an unknown one lists all
#        --write    puts the tables into docs/performance.md as well
# Needs what tests/interop/run.sh needs, and Linux; installs pigz, zstd, b3sum, restic, rclone and eatmydata where it may.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$CARGO_TARGET_DIR/bench"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd) # it may be relative to where we were called

missing=()
for tool in pigz zstd b3sum restic rclone eatmydata; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
if ((${#missing[@]} > 0)); then
  [[ $(id -u) == 0 ]] || { echo "install ${missing[*]} (Debian has packages of these names), or run this as root" >&2; exit 2; }
  apt-get install --yes --quiet "${missing[@]}" >&2
fi

run=$(mktemp -d "$CARGO_TARGET_DIR/bench/peers-XXXXXX")
finish() {
  if [[ -f $run/weed.pid ]]; then "$root/tests/interop/server.sh" --stop "$run"; fi
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$root/tests/interop/install.sh" >&2
export PATH=$CARGO_TARGET_DIR/interop/venv/bin:$PATH
cargo build --release --quiet --locked --manifest-path "$root/Cargo.toml" -p teeline-cli -p teeline-sinks --bin teeline --example bare_s3 --example delay
port=$("$root/tests/interop/start.sh" "$run")
# Nobody's own settings: rclone fails for a bundle of certificates that it has no use for here.
unset "${!AWS_@}"
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
python3 "$root/benches/peers.py" "$CARGO_TARGET_DIR" "$run" "$port" "$@"
