#!/usr/bin/env bash
# Fuzzes what teeline reads, with libFuzzer, on stable Rust. Needs cargo and a C and C++ compiler, and x86-64 or ARM Linux.
# usage: run.sh [SECONDS [TARGET…]]     so long each, two at a time; 60 s and all targets, if not said
# What breaks a promise is left in findings/TARGET, where `cargo test -p teeline-fuzz-targets` replays it; it is mended, and stays there.
set -euo pipefail

fuzz=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-60}
shift || true
if (($#)); then targets=("$@"); else targets=(manifest connection configuration codec chunk seal); fi
at_once=2
target_dir=${CARGO_TARGET_DIR:-$fuzz/../target}
mkdir -p "$target_dir/fuzz"
target_dir=$(cd "$target_dir/fuzz" && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')

# The coverage that libFuzzer goes by, which rustc makes without a sanitizer. With a triple, build scripts and macros are built without it.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
RUSTFLAGS="${RUSTFLAGS:-} $coverage" \
  cargo build --quiet --release --locked --manifest-path "$fuzz/Cargo.toml" --target "$triple" --target-dir "$target_dir"

# Fuzzes one target. What it has learnt stays in the target folder, and the next run begins with that.
fuzz_one() {
  local name=$1 log=$target_dir/$1.log
  mkdir -p "$target_dir/corpus/$name" "$fuzz/findings/$name"
  # A finding is of a panic, of 10 s, or of memory: 64 MiB by teeline's own count, 512 MiB by the system's.
  if ! "$target_dir/$triple/release/$name" "$target_dir/corpus/$name" "$fuzz/corpus/$name" "$fuzz/findings/$name" \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=512 -print_final_stats=1 \
    -artifact_prefix="$fuzz/findings/$name/" >"$log" 2>&1; then
    printf '%-14s FOUND SOMETHING, which is in fuzz/findings/%s:\n' "$name" "$name"
    tail -n 30 "$log"
    return 1
  fi
  rmdir "$fuzz/findings/$name" 2>/dev/null || true
  awk -v name="$name" '
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::peak_rss_mb/ { rss = $2 }
    match($0, /cov: [0-9]+/) { coverage = substr($0, RSTART + 5, RLENGTH - 5) }
    END { printf "%-14s %12d executions, %6d places reached, at most %d MiB\n", name, runs, coverage, rss }' "$log"
}

running=0 status=0
for name in "${targets[@]}"; do
  if ((running == at_once)); then
    wait -n || status=1
    running=$((running - 1))
  fi
  fuzz_one "$name" &
  running=$((running + 1))
done
while ((running > 0)); do
  wait -n || status=1
  running=$((running - 1))
done
exit "$status"
