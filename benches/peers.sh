#!/usr/bin/env bash
# Measures teeline beside what one would run instead, pair by pair, and prints a table of ratios.
# usage: peers.sh [--quick] [--rounds N] [--rows A,B,…] [--write]
#        --quick    a tenth of the data, one round: under five minutes
#        --rows     only these; an unknown one lists all
#        --write    puts the tables into docs/performance.md as well, with profiles of what isn't reached
# Needs what tests/interop/run.sh needs, and Linux; installs pigz, zstd, b3sum, restic, rclone and eatmydata where it may, and for
# profiles linux-perf and heaptrack.
set -euo pipefail

packages=(pigz zstd b3sum restic rclone eatmydata)
[[ " $* " != *" --write "* ]] || packages+=(linux-perf heaptrack)
missing=()
for package in "${packages[@]}"; do
  command -v "${package#linux-}" > /dev/null || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  [[ $(id -u) == 0 ]] || { echo "install ${missing[*]} (Debian has packages of these names), or run this as root" >&2; exit 2; }
  apt-get install --yes --quiet "${missing[@]}" >&2
fi

source "$(dirname "$0")/prepare.sh"
build bare_s3 delay
port=$("$root/tests/interop/start.sh" "$run")
# Nobody's own settings: rclone fails for a bundle of certificates that it has no use for here. Ours begin with another word.
for name in "${!AWS_@}"; do [[ $name == AWS_SDK_JS_* ]] || unset "$name"; done
python3 "$root/benches/peers.py" "$CARGO_TARGET_DIR" "$run" "$port" "$@"
