"""Where the processor time of a backup goes, by what does it, sampled by perf."""

import re
import shutil
import subprocess

# The first that fits a function's name counts; one of the kernel counts by its place, not by its name.
GROUPS = (
    ("decoding and comparing", r"decompress|HUF_readDTable|FSE_readNCount|_buildFSETable|crc32|memcmp|bcmp|XXH"),
    ("compression", r"deflate|heap_sort|ZSTD|HUF_|FSE_|HIST_|hc_matchfinder|^adler"),
    ("checking that lines are JSON", r"serde|check_lines|from_utf8|memchr"),
    ("hashing", r"blake3"),
    ("the rest of teeline", r""),
)
KERNEL = "the kernel: reading, writing, pages"
SAMPLES_A_SECOND = 997


def shares(peers, command):
    """Runs a command in an empty folder under perf; gives each group's part of the samples, the largest first."""
    peers.fresh()
    data = peers.work / "perf.data"
    sampled = f"perf record -q -e cpu-clock -F {SAMPLES_A_SECOND} -o {data} {command} > /dev/null"
    peers.shell_again(sampled)
    report = ["perf", "report", "-i", data, "--stdio", "-q", "--sort", "dso,sym", "-F", "sample,dso,sym", "-t", "|"]
    printed = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    samples = {}
    for line in filter(str.strip, printed.splitlines()):
        count, place, symbol = (part.strip() for part in line.split("|", 2))
        group = KERNEL if place == "[kernel.kallsyms]" else next(name for name, named in GROUPS if re.search(named, symbol))
        samples[group] = samples.get(group, 0) + int(count)
    every = sum(samples.values())
    return sorted(((group, count / every) for group, count in samples.items()), key=lambda pair: -pair[1])


def table(peers, commands):
    """Lines of a table with the shares of each command, named by what it measures."""
    if shutil.which("perf") is None:
        return ["perf (Debian's package linux-perf) wasn't there to say.", ""]
    of_each = {name: dict(shares(peers, command)) for name, command in commands.items()}
    groups = sorted({group for of in of_each.values() for group in of}, key=lambda group: -sum(of.get(group, 0) for of in of_each.values()))
    lines = [f"| share of processor time | {' | '.join(of_each)} |", f"| --- |{' --- |' * len(of_each)}"]
    lines += [f"| {group} | " + " | ".join(f"{of.get(group, 0):.0%}" for of in of_each.values()) + " |" for group in groups]
    return [*lines, ""]
