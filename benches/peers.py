"""The rounds of peers.sh, its table, and what it writes to docs/performance.md.

usage: peers.py TARGET DIR PORT [--quick] [--rounds N] [--rows A,B] [--write]     with a server on PORT
"""

import argparse
import os
import platform
import subprocess
from pathlib import Path

from peers_chart import chart
from peers_profile import explaining
from peers_rows import ROWS, Peers, Skipped

MARKS = "<!-- begin: benches/peers.sh -->", "<!-- end: benches/peers.sh -->"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def arguments():
    parser = argparse.ArgumentParser(prog="peers.sh")
    parser.add_argument("target", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    unknown = [row for row in asked.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return asked


def shown(result):
    places = 0 if result.unit == " MiB" else 2
    number = lambda value: f"{value:.{places}f}{result.unit}"
    if result.reach is None:
        return number(result.measure), "", ""
    sign = "≥" if result.least else "≤"
    return number(result.measure), f"{sign} {number(result.reach)}", "yes" if result.is_reached() else "no"


def explanations():
    """What the page says of rows that aren't reached, by row: a list whose items begin with the row's name."""
    said = PAGE.read_text().partition("\n## What isn't reached\n")[2].partition("\n## ")[0]
    items = (" ".join(item.split()) for item in said.split("\n- ")[1:])
    return {item.split("`")[1]: item for item in items if item.startswith("`")}


def print_missed(results):
    known = explanations()
    for row in dict.fromkeys(result.row for result in results if result.reach is not None and not result.is_reached()):
        print("not reached, " + known.get(row, f"`{row}`: {PAGE.name} says nothing of it yet"))


def print_row(result):
    measure, reach, reached = shown(result)
    of_both = ", ".join(f"{name} {values}" for name, values in result.seen.items())
    print(f"{result.what:52}{measure:>10}{reach:>11}  {reached:4}{of_both}", flush=True)


def machine(work):
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    file_system = subprocess.run(["df", "--output=fstype", work], capture_output=True, text=True, check=True).stdout.split()[-1]
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB of memory, {file_system}, Linux {platform.release().split('-')[0]}"


def versions():
    said = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True)
    one = lambda text: text.strip().splitlines()[0]
    pigz = said("pigz", "--version")
    zstd = next(word for word in said("zstd", "--version").stdout.split() if word.startswith("v1"))
    return ", ".join([
        one(pigz.stdout or pigz.stderr), f"zstd {zstd.strip(',')}", one(said("b3sum", "--version").stdout),
        " ".join(said("restic", "version").stdout.split()[:2]), one(said("rclone", "version").stdout),
    ])


def tables(results, skipped, peers):
    lines = [MARKS[0], "", f"On {machine(peers.work)}; {versions()}.", f"{peers.data.stat().st_size / 1e6:.0f} MB of records, medians of {peers.rounds} rounds.", ""]
    lines += ["| what | measured | to reach | reached | ours / theirs |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        measure, reach, reached = shown(result)
        of_both = ", ".join(f"{name} {values}" for name, values in result.seen.items())
        lines.append(f"| {result.what} | {measure} | {reach} | {reached} | {of_both} |")
    lines += ["", *(f"Not measured: {row}, {why}." for row, why in skipped.items()), ""]
    lines += ["![what was measured, as a part of what is to be reached](performance.svg)", ""]
    lines += [*explaining(peers), "## Commands", ""]
    lines += ["`$T` being the binary and `$F` the file, each pair in an empty folder:", ""]
    for ours, theirs in dict.fromkeys((result.ours, result.theirs) for result in results):
        rows = ", ".join(dict.fromkeys(result.row for result in results if (result.ours, result.theirs) == (ours, theirs)))
        lines += [f"{rows}:", "", "```", ours, *([theirs] if theirs else []), "```", ""]
    return "\n".join([*lines, MARKS[1]])


def write(results, skipped, peers):
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    PAGE.with_suffix(".svg").write_text(chart(results, shown))
    PAGE.write_text(before + tables(results, skipped, peers) + rest.partition(MARKS[1])[2])


def main():
    asked = arguments()
    peers = Peers(asked.target, asked.work, asked.port, asked.quick, asked.rounds)
    print(machine(peers.work))
    print(versions())
    print(f"{'':52}{'measured':>10}{'to reach':>11}")
    results, skipped = [], {}
    for row in asked.rows:
        try:
            for result in ROWS[row](peers):
                results.append(result)
                print_row(result)
        except Skipped as why:
            skipped[row] = why
            print(f"{row}: not measured, {why}", flush=True)
    if asked.write:
        write(results, skipped, peers)
    print_missed(results)


main()
