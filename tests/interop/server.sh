#!/usr/bin/env bash
# A real S3 server (SeaweedFS) on 127.0.0.1, keys AKIATEST / secretkey123, data and log under DIR. Needs `weed` on PATH.
# usage: server.sh DIR PORT      starts it, waits for it, prints its pid; exits 3 if a port that it needs is in use
#        server.sh --stop DIR
# Its other ports are PORT+1 ... PORT+9, so two servers run side by side when their PORTs are 10 or more apart.
set -euo pipefail

running() { kill -0 "$1" 2>/dev/null; }

if [[ ${1:-} == --stop && $# == 2 ]]; then
  pid=$(cat "$2/weed.pid")
  kill "$pid" 2>/dev/null || true
  for _ in {1..100}; do
    running "$pid" || break
    sleep 0.1
  done
  if running "$pid"; then kill -9 "$pid"; fi
  rm "$2/weed.pid"
  exit
fi
[[ $# == 2 ]] || { sed -n '2,5p' "$0" >&2; exit 2; }

mkdir -p "$1/data"
dir=$(cd "$1" && pwd) port=$2

# A second server on a port in use would fail, but first remove the Unix sockets in /tmp that the running one lives by.
for p in $(seq "$port" $((port + 9))); do
  if (: < "/dev/tcp/127.0.0.1/$p") 2>/dev/null; then
    echo "port $p is in use" >&2
    exit 3
  fi
done

cat > "$dir/s3.json" <<'JSON'
{"identities":[{"name":"t","credentials":[{"accessKey":"AKIATEST","secretKey":"secretkey123"}],"actions":["Admin","Read","Write","List","Tagging"]}]}
JSON
export WEED_S3_SSE_KEY=interop # without it, server-side encryption (AES256) is refused
set -m # a process group of its own, so that Ctrl-C reaches the tests only
nohup weed server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -s3 -s3.config="$dir/s3.json" -s3.port="$port" -s3.port.grpc=$((port + 1)) -s3.port.iceberg=$((port + 2)) -s3.port.lance=$((port + 3)) \
  -master.port=$((port + 4)) -master.port.grpc=$((port + 5)) -master.volumeSizeLimitMB=1024 \
  -volume.port=$((port + 6)) -volume.port.grpc=$((port + 7)) -volume.max=1000 \
  -filer.port=$((port + 8)) -filer.port.grpc=$((port + 9)) \
  > "$dir/weed.log" 2>&1 < /dev/null &
pid=$!
set +m
echo "$pid" > "$dir/weed.pid"

for _ in {1..300}; do
  running "$pid" || break
  # The S3 front end answers 403 (no signature) even while nothing behind it works, so ask the filer and the master too.
  if [[ $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/") == 403 ]] &&
    curl -sf -o /dev/null "http://127.0.0.1:$((port + 8))/" && curl -s "http://127.0.0.1:$((port + 4))/dir/assign" | grep -q '"fid"'; then
    echo "$pid"
    exit
  fi
  sleep 0.1
done
echo "the server did not answer on port $port; see $dir/weed.log" >&2
tail -5 "$dir/weed.log" >&2
exit 1
