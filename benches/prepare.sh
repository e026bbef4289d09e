# What the benchmarks begin with; sourced by each of them. Makes the folder $run, which goes again with the server that it may hold,
# installs what the interop tests need as well, and sets $root, CARGO_TARGET_DIR and PATH.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$CARGO_TARGET_DIR/bench"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd) # it may be relative to where we were called

run=$(mktemp -d "$CARGO_TARGET_DIR/bench/run-XXXXXX")
finish() {
  if [[ -f $run/weed.pid ]]; then "$root/tests/interop/server.sh" --stop "$run"; fi
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$root/tests/interop/install.sh" >&2
export PATH=$CARGO_TARGET_DIR/interop/venv/bin:$PATH AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true

# Builds the command, and these examples of the sinks.
build() {
  cargo build --release --quiet --locked --manifest-path "$root/Cargo.toml" -p teeline-cli -p teeline-sinks --bin teeline "${@/#/--example=}"
}
