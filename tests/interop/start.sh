#!/usr/bin/env bash
# Starts a server (server.sh) with its data under DIR on ports that are free, and prints its port.
# usage: start.sh DIR
set -euo pipefail

cd "$(dirname "$0")"
for attempt in {1..20}; do
  port=$((20000 + RANDOM % 1200 * 10)) # below the ports that clients are given
  status=0
  ./server.sh "$1" "$port" > /dev/null || status=$?
  ((status == 3 && attempt < 20)) || break
done
((status == 0)) || exit "$status"
echo "$port"
