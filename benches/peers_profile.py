"""What explains a row that isn't reached: what processor time goes into, who has it, and what is in memory when most is."""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass

from measure import run
from peers_rows import any_of_two, backup, buckets, hundredth_of_their_rate, many_times, slow_way, to_buckets

# In each list the first that fits counts: here a function's place and name, then a thread's name, then the names of all that had
# called for it.
WORK = (
    ("the kernel: reading, writing, pages", r"^\[kernel"),
    ("decoding and comparing", r"decompress|HUF_readDTable|FSE_readNCount|_buildFSETable|crc32|memcmp|bcmp|XXH"),
    ("compression", r"deflate|heap_sort|ZSTD|HUF_|FSE_|HIST_|hc_matchfinder|\badler"),
    ("checking that lines are JSON", r"serde|check_lines|from_utf8|memchr"),
    ("signing what is sent (SHA-256)", r"sha256"),
    ("hashing (BLAKE3)", r"blake3"),
    ("the rest of teeline", r""),
)
WHO = (
    ("teeline", r"^teeline"),
    ("the S3 server", r"^weed"),
    ("what makes the way to it slow", r"^(delay|tokio-rt)"),
    ("nobody: waiting", r"^swapper"),
    ("others", r""),
)
MEMORY = (
    ("records, as blocks are cut of them", r"Cutter::push"),
    ("blocks decoded again, to be compared", r"check_encoded"),
    ("tables of compressors", r"ZSTD_|libdeflate_alloc|DCtx|brotli|deflate::"),
    ("compressed blocks and chunks that wait", r"codec::Encoder|BlockEncoder|Placer"),
    ("what is read back", r"Disk::read|read_back|readback"),
    ("records being fetched, and what is read", r"teeline_sources"),
    ("calls to stores", r"hyper|aws_|rustls|reqwest|object_store|h2::"),
    ("the rest", r""),
)
SAMPLES_A_SECOND = 997


@dataclass
class Sample:
    """So much (samples or bytes) in a thread, in a program or library, in a function, or below several of them."""

    count: int
    thread: str = ""
    place: str = ""
    functions: str = ""


def sampled(peers, command, everyone=False):
    """Runs a command under perf; samples of it, or of everyone meanwhile."""
    data = peers.work / "perf.data"
    perf = f"perf record -q {'-a' if everyone else ''} -e cpu-clock -F {SAMPLES_A_SECOND} -o {data}"
    peers.shell(f"{perf} bash -ec {shlex.quote(command)} > /dev/null")
    keys = "comm,dso,sym"
    report = ["perf", "report", "-i", data, "--stdio", "-q", "--sort", keys, "-F", f"sample,{keys}", "-t", "|"]
    printed = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    data.unlink()
    for line in filter(str.strip, printed.splitlines()):
        count, thread, place, symbol = (part.strip() for part in line.split("|", 3))
        yield Sample(int(count), thread, place, symbol)


def allocated(peers, command):
    """Runs a command of $T under heaptrack; what is on the heap when most is, by whom it was asked for."""
    data, stacks = peers.work / "heap", peers.work / "stacks"
    peers.shell(f"{command.replace('$T', f'heaptrack -o {data} $T', 1)} > /dev/null")
    (made,) = peers.work.glob("heap.*")
    subprocess.run(["heaptrack_print", "-f", made, "--flamegraph-cost-type", "peak", "-F", stacks], capture_output=True, check=True)
    lines = stacks.read_text().splitlines()
    made.unlink()
    stacks.unlink()
    for line in lines:
        callers, _, count = line.rpartition(" ")
        yield Sample(int(count), functions=callers)


def sums(samples, groups, of, worth):
    """What each group has, so many samples being worth one."""
    sums = {}
    for sample in samples:
        name = next(name for name, fits in groups if re.search(fits, of(sample)))
        sums[name] = sums.get(name, 0) + sample.count / worth
    return sums


def work(peers, command):
    """Seconds of processor time of teeline by what they go into."""
    own = (sample for sample in sampled(peers, command) if sample.thread.startswith("teeline"))
    return sums(own, WORK, lambda sample: f"{sample.place} {sample.functions}", SAMPLES_A_SECOND)


def who(peers, command):
    """Seconds of all processors during a command by who has them."""
    return sums(sampled(peers, command, everyone=True), WHO, lambda sample: sample.thread, SAMPLES_A_SECOND)


def memory(peers, command):
    """MiB on the heap, when most is there, by what they are for."""
    return sums(allocated(peers, command), MEMORY, lambda sample: sample.functions, 1 << 20)


def table(title, columns, digits, shares=False):
    """Lines of a table, the largest row first; a column is a name and what each group has."""
    groups = sorted({group for of in columns.values() for group in of}, key=lambda group: -sum(of.get(group, 0) for of in columns.values()))
    cell = lambda of, group: f"{of.get(group, 0):.{digits}f}" + (f" ({of.get(group, 0) / sum(of.values()):.0%})" if shares else "")
    lines = [f"| {title} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    lines += [f"| {group} | {' | '.join(cell(of, group) for of in columns.values())} |" for group in groups]
    lines.append(f"| all | {' | '.join(f'{sum(of.values()):.{digits}f}' for of in columns.values())} |")
    return [*lines, ""]


def of_work(peers):
    columns = {
        "gzip to 4 folders": work(peers, backup()),
        "to 1 folder": work(peers, backup(to=1)),
        "zstd to 4": work(peers, backup("--compression zstd")),
        "none to 4": work(peers, backup("--compression none")),
    }
    with buckets(peers, 2) as names:
        columns["gzip to a folder and two buckets"] = work(peers, backup(to_buckets(peers.port, names), to=1))
    return table("seconds of processor time", columns, 2, shares=True)


def of_who(peers):
    columns = {}
    with buckets(peers, 1) as names:
        columns["to a bucket"] = who(peers, backup(to_buckets(peers.port, names), to=0))
    with buckets(peers, 1) as names, slow_way(peers, 20) as slow:
        columns["to one 20 ms away"] = who(peers, backup(to_buckets(slow, names), to=0))
    columns["to two folders"] = who(peers, until_two_have_it(any_of_two()))
    with buckets(peers, 1) as names, slow_way(peers, 0, hundredth_of_their_rate(peers)) as slow:
        spilling = any_of_two(f"--lag spill --temp-dir {peers.work}", to_buckets(slow, names))
        columns["to these and a slow bucket, spilling"] = who(peers, until_two_have_it(spilling))
    return table("seconds of all processors", columns, 2)


def until_two_have_it(command):
    published = "ls d0/full*/manifest.json d1/full*/manifest.json > /dev/null 2>&1"
    return f"{command} & until {published}; do sleep 0.02; done; kill -9 $! || true; wait"


def of_memory(peers):
    without_data = peers.shell(backup(file=str(peers.lines(100, 1_900))))["memory_mib"]
    columns = {}
    for compression in ("gzip", "zstd"):
        options = f"--compression {compression}"
        columns[compression] = memory(peers, backup(options))
        columns[f"{compression}, 10 times the data"] = memory(peers, many_times(10, options))
    with buckets(peers, 1) as (bucket,):
        source = f"http://AKIATEST:secretkey123@127.0.0.1:{peers.port}/{bucket}?forcePathStyle=true"
        run(["node", peers.here / "s3db.mjs", "insert", source, "20000"])
        columns["from s3db"] = memory(peers, f"$T backup full --connection '{source}' --to copy --json")
    return [
        *table("MiB on the heap", columns, 1),
        f"A backup of 100 records has {without_data:.0f} MiB at most, nearly all of it code, libraries and what they begin with.",
        "",
    ]


def explaining(peers):
    """What is written of the profiles: a section of each kind."""
    missing = [tool for tool in ("perf", "heaptrack", "heaptrack_print") if shutil.which(tool) is None]
    if missing:
        return [f"{', '.join(missing)} (Debian's packages linux-perf and heaptrack) weren't there to say where it goes.", ""]
    return [
        "## Where the processor time goes", "", "By function, sampled by `perf`.", "", *of_work(peers),
        "## Whose time passes", "", "Both processors, the server's and the way's part and waiting included, sampled by `perf`.", "", *of_who(peers),
        "## Where the memory is", "", "When most is on the heap, by who asked for it, by `heaptrack`.", "", *of_memory(peers),
    ]
