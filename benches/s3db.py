"""The rounds of s3db.sh: runs what is compared by turns, and prints a table, then a line of JSON for each row of it.

usage: s3db.py BINARIES DIR PORT RECORDS ROUNDS     with a server on PORT (tests/interop/server.sh), its pid in DIR/weed.pid
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from measure import median, process_cpu, ratio, run

CALLS = "64"  # at once, of the minimal client: more or fewer of them aren't faster

binaries, work, port, records, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
here = Path(__file__).parent
server_pid = int((work / "weed.pid").read_text())
server = f"http://AKIATEST:secretkey123@127.0.0.1:{port}"
source = f"{server}/bulk?forcePathStyle=true"
copy = work / "copy"


def bucket(name, method="POST"):
    """Makes a bucket, or takes it away, by the server's file interface."""
    url = f"http://127.0.0.1:{port + 8}/buckets/{name}/?recursive=true"
    subprocess.run(["curl", "-sf", "-o", "/dev/null", "-X", method, url], check=True)


def measured(*command):
    """Runs a command; what the server took for it as well."""
    began = process_cpu(server_pid)
    return run(command) | {"server_cpu_seconds": process_cpu(server_pid) - began}


def s3db(what):
    ran = measured("node", here / "s3db.mjs", what, source, records)
    return ran | json.loads(ran["printed"].splitlines()[-1])


def bare(*arguments):
    """Its seconds are those of the GETs (or PUTs) alone; its processor time isn't, so that of a PUT isn't known."""
    ran = measured(binaries / "examples" / "bare_s3", CALLS, *arguments)
    count, seconds = ran["printed"].split()
    return ran | {"seconds": float(seconds) * records / int(count)}


def backup():
    shutil.rmtree(copy, ignore_errors=True)
    ran = measured(binaries / "teeline", "backup", "full", "--connection", source, "--to", copy, "--json")
    backed_up = json.loads(ran["printed"])["recordCount"]
    assert backed_up == records, backed_up
    return ran


def into_bucket(number, write):
    name = f"into-{number}"
    bucket(name)
    ran = write(f"{server}/{name}")
    bucket(name, "DELETE")
    return ran


def bare_put(url):
    ran = bare("put", f"{server}/bulk", url)
    return {name: ran[name] for name in ("seconds", "memory_mib")}


def restore(url):
    return measured(binaries / "teeline", "restore", "latest", "--at", copy, "--target", f"{url}?forcePathStyle=true", "--json")


bucket("bulk")
ran = {"s3db.js insert": [s3db("insert")], "s3db.js get": [s3db("read")]}
for number in range(rounds):
    for name, result in (
        ("bare GETs", bare("get", f"{server}/bulk")),
        ("teeline backup", backup()),
        ("bare PUTs", into_bucket(2 * number, bare_put)),
        ("teeline restore", into_bucket(2 * number + 1, restore)),
    ):
        ran.setdefault(name, []).append(result)


def row(name, against=None, against_cpu=None):
    seconds, cpu, server_time = median(ran[name], "seconds"), median(ran[name], "cpu_seconds"), median(ran[name], "server_cpu_seconds")
    each = lambda time: None if time is None else round(time / records * 1e6, 1)
    return {
        "name": name,
        "records": records,
        "rounds": len(ran[name]),
        "records_per_second": round(records / seconds),
        "cpu_us_per_record": each(cpu),
        "server_cpu_us_per_record": each(server_time),
        "memory_mib": round(max(result["memory_mib"] for result in ran[name]), 1),
        "part_of_bare_rate": round(ratio(ran[against], ran[name], "seconds"), 3) if against else None,
        "part_of_s3db_js_cpu": round(cpu / median(ran[against_cpu], "cpu_seconds"), 3) if against_cpu else None,
    }


rows = [
    row("bare GETs"),
    row("teeline backup", "bare GETs", "s3db.js get"),
    row("s3db.js get"),
    row("bare PUTs"),
    row("teeline restore", "bare PUTs", "s3db.js insert"),
    row("s3db.js insert"),
]
print(f"{'':16}{'records/s':>10}{'CPU µs':>8}{'server µs':>11}{'MiB':>6}{'of bare rate':>14}{'of s3db.js CPU':>16}")
shown = lambda value, pattern: "" if value is None else format(value, pattern)
for r in rows:
    print(
        f"{r['name']:16}{r['records_per_second']:>10}{shown(r['cpu_us_per_record'], '.0f'):>8}"
        f"{shown(r['server_cpu_us_per_record'], '.0f'):>11}{r['memory_mib']:>6.0f}"
        f"{shown(r['part_of_bare_rate'], '.0%'):>14}{shown(r['part_of_s3db_js_cpu'], '.3f'):>16}"
    )
for r in rows:
    print(json.dumps(r))
