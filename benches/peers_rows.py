"""The rows of peers.sh: what teeline does, what one would run instead, and what is compared."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measure import median, ratio, run, run_until

ENVIRONMENT = {"RESTIC_PASSWORD": "x", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secretkey123"}


class Skipped(Exception):
    """A row can't be measured; says why."""


@dataclass
class Result:
    """One comparison. `reach` is what the measure must at most be, or at least where `least` is set; None where nothing is asked."""

    row: str
    what: str
    measure: float
    reach: float | None
    ours: str
    theirs: str
    least: bool = False
    unit: str = "×"
    seen: dict = field(default_factory=dict)

    def is_reached(self):
        return self.measure >= self.reach if self.least else self.measure <= self.reach


class Peers:
    """What rows share: where they work, how much there is, and how often they run."""

    def __init__(self, target, work, port, quick, rounds):
        self.work, self.port, self.quick = work, port, quick
        self.rounds = rounds or (1 if quick else 3)
        self.teeline = target / "release" / "teeline"
        self.examples = target / "release" / "examples"
        self.cache = target / "bench"
        self.scratch = work / "scratch"
        self.buckets = 0
        self.here = Path(__file__).parent
        self.data = self.lines(25_000 if quick else 250_000, 1_900)
        self.env = {"T": str(self.teeline), "F": str(self.data)} | ENVIRONMENT

    def lines(self, records, size):
        """A file of so many records of about so many bytes, made once."""
        path = self.cache / f"lines-{records}-{size}.jsonl"
        if not path.exists():
            making = path.with_suffix(".making")
            with open(making, "wb") as out:
                generator = [sys.executable, self.here / "gen_jsonl.py", str(records), str(size)]
                subprocess.run(generator, stdout=out, check=True)
            making.rename(path)
        return path

    def fresh(self):
        """An empty folder, and nothing left to be written to the disk for whoever is measured next."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        os.sync()

    def bucket(self):
        """A new bucket."""
        self.buckets += 1
        name = f"peers-{self.buckets}"
        self.of_bucket(name, "POST")
        return name

    def of_bucket(self, name, method):
        url = f"http://127.0.0.1:{self.port + 8}/buckets/{name}/?recursive=true"
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "-X", method, url], check=True)

    def pairs(self, ours, theirs):
        """Runs both by turns, the first of a round being the second of the next."""
        ran = ([], [])
        for number in range(self.rounds):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                ran[which].append((ours, theirs)[which]())
        return ran

    # Commands, as they are shown and run: $T is the binary, $F the file, and they run in the scratch folder.

    def shell(self, command, measured=()):
        """Runs a line in an empty folder; gives what it took, and the bytes of what is `measured` there."""
        self.fresh()
        return self.shell_again(command, measured)

    def shell_again(self, command, measured=()):
        ran = run(f"cd {self.scratch}; {command}", self.env)
        bytes_ = sum(path.stat().st_size for glob in measured for path in self.scratch.glob(glob) if path.is_file())
        return ran | {"bytes": bytes_}


def folders(count):
    return " ".join(f"--to d{number}=d{number}" for number in range(count))


def backup(options="", to=4, file="$F"):
    return " ".join(filter(None, ("$T backup full --from", file, folders(to), options, "--json")))


def many_times(times, options):
    """A backup of the file so many times over."""
    return f"(for n in {{1..{times}}}; do cat $F; done) | " + backup(f"--resource lines {options}", file="-")


PIGZ = "mkdir 0 1 2 3; pigz -6 -p2 -c $F | tee 0/f 1/f 2/f > 3/f; sync 0/f 1/f 2/f 3/f; sha256sum */f"
FROM_A = "--from-repo a --from-password-command 'echo x'"
RESTIC_INIT = f"restic -q -r a init; restic -q -r b init {FROM_A} --copy-chunker-params"
RESTIC = f"restic -q -r a backup $F; restic -q -r b copy {FROM_A}"


def gzip(peers):
    ours, theirs = backup(), PIGZ
    ran, other = peers.pairs(lambda: peers.shell(ours, ["d0/*/*"]), lambda: peers.shell(theirs, ["0/f"]))
    for what, of, reach in (("CPU", "cpu_seconds", 0.5), ("wall", "seconds", 0.6), ("size", "bytes", 1.0)):
        yield Result("gzip", f"gzip to 4 folders: {what}", ratio(ran, other, of), reach, ours, theirs, seen=seen(ran, other))


def zstd(peers):
    ours, theirs = backup("--compression zstd"), PIGZ
    ran, other = peers.pairs(lambda: peers.shell(ours, ["d0/*/*"]), lambda: peers.shell(theirs, ["0/f"]))
    measure = ratio(ran, other, "cpu_seconds")
    yield Result("zstd", "zstd to 4 folders, of pigz: CPU", measure, 0.3, ours, theirs, seen=seen(ran, other))

    def restic():
        peers.shell(RESTIC_INIT)
        return peers.shell_again(RESTIC, ["a/data/*/*"])

    theirs = RESTIC
    ran, other = peers.pairs(lambda: peers.shell(ours, ["d0/*/*"]), restic)
    for what, of, reach in (("CPU", "cpu_seconds", 0.25), ("size", "bytes", 1.0)):
        measure = ratio(ran, other, of)
        yield Result("zstd", f"zstd to 4 folders, of restic: {what}", measure, reach, ours, theirs, seen=seen(ran, other))
    theirs = "zstd -q -T2 -3 $F -o f; sync f"
    ours = backup("--compression zstd", 1)
    ran, other = peers.pairs(lambda: peers.shell(ours, ["d0/*/*"]), lambda: peers.shell(theirs, ["f"]))
    for what, of in (("CPU", "cpu_seconds"), ("wall", "seconds"), ("size", "bytes")):
        measure = ratio(ran, other, of)
        yield Result("zstd", f"zstd to 1 folder, of zstd -T2: {what}", measure, None, ours, theirs, seen=seen(ran, other))


def fan_out(peers):
    one = backup(to=1)
    for count, reach in ((4, 1.15), (16, 1.6)):
        ours = backup(to=count)
        ran, other = peers.pairs(lambda: peers.shell(ours), lambda: peers.shell(one))
        measure = ratio(ran, other, "cpu_seconds")
        yield Result("fan-out", f"{count} folders, of one: CPU", measure, reach, ours, one, seen=seen(ran, other))


def none(peers):
    ours = backup("--compression none")
    theirs = "mkdir 0 1 2 3; tee 0/f 1/f 2/f < $F > 3/f; sync 0/f 1/f 2/f 3/f"
    ran, other = peers.pairs(lambda: peers.shell(ours), lambda: peers.shell(theirs))
    measure = 1 / ratio(ran, other, "seconds")
    yield Result("none", "no compression, to 4 folders: rate", measure, 0.8, ours, theirs, least=True, seen=seen(ran, other))


def memory(peers):
    for compression in ("gzip", "zstd"):
        ours = backup(f"--compression {compression}")
        once = [peers.shell(ours) for _ in range(peers.rounds)]
        most = max(ran["memory_mib"] for ran in once)
        yield Result("memory", f"{compression} to 4 folders: peak memory", most, 48, ours, "", unit=" MiB")
        times = 3 if peers.quick else 10
        big = many_times(times, f"--compression {compression}")
        more = peers.shell(big)["memory_mib"]
        what = f"{compression}, {times} times the data, of once: peak memory"
        yield Result("memory", what, more / median(once, "memory_mib"), 1.1, big, ours)


def restore(peers):
    peers.fresh()
    peers.shell_again(backup(to=1))
    ours, theirs = "$T restore latest --at d0 --target ./r --json", "pigz -dc d0/full*/*.jsonl.gz > p; sync p"

    def again(command, made):
        subprocess.run(["rm", "-rf", *(peers.scratch / name for name in made)], check=True)
        os.sync()
        return peers.shell_again(command)

    ran, other = peers.pairs(lambda: again(ours, ["r"]), lambda: again(theirs, ["p"]))
    yield Result("restore", "restore gzip to a folder: wall", ratio(ran, other, "seconds"), 0.5, ours, theirs, seen=seen(ran, other))


def verify(peers):
    peers.fresh()
    peers.shell_again(backup(to=1))
    ours, theirs = "$T verify --at d0 --json", "b3sum d0/full*/*"

    def from_the_disk(command):
        # As verify does it: from the disk, not from the cache.
        peers.shell_again("for f in d0/full*/*; do dd if=$f iflag=nocache count=0 status=none; done")
        return peers.shell_again(command)

    ran, other = peers.pairs(lambda: from_the_disk(ours), lambda: from_the_disk(theirs))
    measure = 1 / ratio(ran, other, "seconds")
    yield Result("verify", "verify, of b3sum that reads from the disk as well: rate", measure, 0.8, ours, theirs, least=True, seen=seen(ran, other))


def rclone_remote(port):
    return f":s3,provider=Other,env_auth=true,endpoint='http://127.0.0.1:{port}',region=us-east-1,no_check_bucket=true:"


def to_buckets(port, names):
    at = f"http://127.0.0.1:{port}"
    return " ".join(f"--to '{destination}={at}/{name}'" for destination, name in zip("ab", names, strict=False))


@contextmanager
def buckets(peers, count):
    """The names of new buckets, which go again."""
    names = [peers.bucket() for _ in range(count)]
    yield names
    for name in names:
        peers.of_bucket(name, "DELETE")


def with_buckets(peers, count, command):
    """Runs what is made for the names of new buckets."""
    with buckets(peers, count) as names:
        return peers.shell(command(names))


def s3(peers):
    def ours(names):
        return backup(to_buckets(peers.port, names), to=1)

    def theirs(names):
        one, two = (f"rclone -q rcat \"{rclone_remote(peers.port)}{name}/f\"" for name in names)
        return f"pigz -6 -p2 -c $F | tee f >({one}) >({two}) > /dev/null; wait; sync f"

    ran, other = peers.pairs(lambda: with_buckets(peers, 2, ours), lambda: with_buckets(peers, 2, theirs))
    shown = ours(["bucket-a", "bucket-b"]), theirs(["bucket-a", "bucket-b"])
    for what, of in (("wall", "seconds"), ("client's CPU", "cpu_seconds")):
        yield Result("s3", f"folder and two buckets: {what}", ratio(ran, other, of), 0.6, *shown, seen=seen(ran, other))
    most = max(result["memory_mib"] for result in ran)
    yield Result("s3", "folder and two buckets: peak memory", most, 96, shown[0], "", unit=" MiB")


@contextmanager
def slow_way(peers, milliseconds, bytes_a_second=None):
    """The port of a way to the server that takes longer, and lets no more through."""
    words = [milliseconds, peers.port, *([] if bytes_a_second is None else [bytes_a_second])]
    delay = subprocess.Popen([peers.examples / "delay", *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        yield int(delay.stdout.readline())
    finally:
        delay.kill()
        delay.wait()


def latency(peers):
    def to(port):
        return lambda names: backup(to_buckets(port, names), to=0)

    with slow_way(peers, 20) as slow:
        ran, other = peers.pairs(lambda: with_buckets(peers, 1, to(slow)), lambda: with_buckets(peers, 1, to(peers.port)))
    shown = to("PORT of delay 20 SERVER-PORT")(["bucket"]), to("SERVER-PORT")(["bucket"])
    measure = 1 / ratio(ran, other, "seconds")
    yield Result("latency", "bucket with 20 ms latency, of one without: rate", measure, 0.9, *shown, least=True, seen=seen(ran, other))


def any_of_two(options="", also=""):
    """A backup to two folders and perhaps another destination, that may lag."""
    return backup(" ".join(filter(None, (also, "--strategy any", options))), to=2)


def until_published(peers, command):
    """What two folders take until both hold the backup, whatever becomes of other destinations."""
    peers.fresh()
    published = lambda: all(any(peers.scratch.glob(f"d{number}/full*/manifest.json")) for number in (0, 1))
    return run_until(["bash", "-ec", f"cd {peers.scratch}; exec {command}"], published, peers.env)


def hundredth_of_their_rate(peers):
    """Bytes a second: a hundredth of what each of two folders gets."""
    seconds = until_published(peers, any_of_two())["seconds"]
    stored = sum(path.stat().st_size for path in peers.scratch.glob("d0/full*/*"))
    return max(1, int(stored / seconds / 100))


def behind(peers):
    if peers.quick:
        raise Skipped("a tenth of the data fits into what a run may have in memory, so that nobody falls behind")
    with slow_way(peers, 0, hundredth_of_their_rate(peers)) as slow:
        for policy, also in (("detach", ""), ("spill", f" --temp-dir {peers.work}")):
            yield from left(peers, policy, f"--lag {policy}{also}", slow)


def left(peers, policy, options, slow):
    """What two folders take beside a third destination that can't keep up."""
    def beside(port):
        with buckets(peers, 1) as names:
            return until_published(peers, any_of_two(options, to_buckets(port, names)))

    name, alone = f"one of three at 1 %, {policy}", any_of_two()
    beside_one_at = lambda port: any_of_two(f"--lag {policy}", to_buckets(port, ["bucket"]))
    ours = beside_one_at("PORT of delay 0 SERVER-PORT BYTES")
    ran, other = peers.pairs(lambda: beside(slow), lambda: until_published(peers, alone))
    measure = ratio(ran, other, "seconds")
    yield Result("behind", f"{name}, of the two: wall of the two", measure, 1.05, ours, alone, seen=seen(ran, other))
    # A bucket takes memory of its own: what is asked is that its being slow takes none.
    ran, other = peers.pairs(lambda: beside(slow), lambda: beside(peers.port))
    measure = ratio(ran, other, "memory_mib")
    yield Result("behind", f"{name}, of one as fast: memory", measure, 1.1, ours, beside_one_at("SERVER-PORT"), seen=seen(ran, other))


def s3db(peers):
    records = "5000" if peers.quick else "20000"
    script = [sys.executable, peers.here / "s3db.py", peers.teeline.parent, peers.work, peers.port, records, peers.rounds]
    rows = [json.loads(line) for line in run(script)["printed"].splitlines() if line.startswith("{")]
    command = f"benches/s3db.sh {records}"
    for row in rows:
        if row["part_of_bare_rate"] is None:
            continue
        name = row["name"].removeprefix("teeline ")
        bare = "bare GETs" if name == "backup" else "bare PUTs"
        yield Result("s3db", f"s3db {name}, of {bare}: rate", row["part_of_bare_rate"], 0.85, command, bare, least=True)
        yield Result("s3db", f"s3db {name}, of s3db.js: CPU a record", row["part_of_s3db_js_cpu"], 0.125, command, "s3db.js")
        yield Result("s3db", f"s3db {name}: peak memory", row["memory_mib"], 48, command, "", unit=" MiB")


def small(peers):
    file, times = peers.lines(100, 1_900), 20 if peers.quick else 50
    again = lambda command: f"for n in {{1..{times}}}; do {command}; done"
    ours = again(f"eatmydata $T backup full --from {file} --to d0=d$n --json > /dev/null")
    theirs = again(f"eatmydata gzip -c {file} > f$n")
    ran, other = peers.pairs(lambda: peers.shell(ours), lambda: peers.shell(theirs))
    shown = (command.replace(str(file), "lines-100-1900.jsonl") for command in (ours, theirs))
    yield Result("small", "100 records to a folder, of gzip: wall", ratio(ran, other, "seconds"), 3, *shown, seen=seen(ran, other))


def flat(peers):
    counts = (10_000, 1_000_000) if peers.quick else (10_000, 1_000_000, 10_000_000)
    make = "awk 'BEGIN { for (n = 0; n < COUNT; n++) printf \"{\\\"id\\\":\\\"rec-%09d\\\",\\\"value\\\":%d,\\\"ok\\\":true}\\n\", n, n * 7919 % 100003 }'"
    costs = []
    for count in (1, *counts):
        path = peers.cache / f"small-{count}.jsonl"
        if not path.exists():
            run(f"{make.replace('COUNT', str(count))} > {path}.making; mv {path}.making {path}")
        times = max(1, 200_000 // max(count, 10_000))
        ours = f"for n in {{1..{times}}}; do $T backup full --from {path} --to d0=d$n --json > /dev/null; done"
        ran = [peers.shell(ours)["cpu_seconds"] / times for _ in range(peers.rounds)]
        costs.append((count, min(ran)))
    (_, fixed), *costs = costs
    each = [(cpu - fixed) / count * 1e6 for count, cpu in costs]
    command = "$T backup full --from small-COUNT.jsonl --to d0=d0, less that of one record"
    for (count, _), cost in list(zip(costs, each, strict=True))[1:]:
        what = f"{count:,} small records, of {costs[0][0]:,}: CPU a record"
        shown = {"µs a record": round(cost, 3)}
        yield Result("flat", what, cost / each[0], 1.1, command, "", seen=shown)


def seen(ran, other):
    """What was measured of both, in medians."""
    shown = {}
    for name, of, digits in (("wall s", "seconds", 2), ("CPU s", "cpu_seconds", 2), ("MiB", "memory_mib", 0), ("MB", "bytes", 1)):
        scale = 1e-6 if of == "bytes" else 1
        values = [median(each, of) for each in (ran, other)]
        if all(values):
            shown[name] = " / ".join(f"{value * scale:.{digits}f}" for value in values)
    return shown


ROWS = {
    "gzip": gzip, "zstd": zstd, "fan-out": fan_out, "none": none, "memory": memory, "restore": restore, "verify": verify,
    "s3": s3, "latency": latency, "behind": behind, "s3db": s3db, "small": small, "flat": flat,
}
