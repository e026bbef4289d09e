"""Running commands and measuring them: seconds, processor time with that of all that they start, largest memory."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def run(command, env=None, stdin=None):
    """Runs a command, a list or a line of bash. Its failure ends everything."""
    words = ["bash", "-ec", f"set -o pipefail; {command}"] if isinstance(command, str) else [str(word) for word in command]
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(words, stdout=printed, stderr=errors, stdin=stdin, env=os.environ | (env or {}))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (printed, errors):
            file.seek(0)
        if process.returncode != 0:
            sys.exit(f"{command} exited with {process.returncode}\n{errors.read().decode(errors='replace')}")
        # A child counts what this process had when it was made.
        assert usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss or usage.ru_maxrss < 48 << 10
        return {
            "printed": printed.read().decode(),
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "memory_mib": usage.ru_maxrss / 1024,
        }


def run_until(command, happened, env=None):
    """Runs a command, a list, until something has happened or it ends, and then ends it: seconds until then, and its largest memory."""
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], stdout=errors, stderr=errors, env=os.environ | (env or {}))
        try:
            while not happened():
                if process.poll() is not None and not happened():
                    errors.seek(0)
                    sys.exit(f"{command} exited with {process.returncode} before that\n{errors.read().decode(errors='replace')}")
                time.sleep(0.002)
            seconds = time.monotonic() - began
            memory = largest_memory(process.pid)
        finally:
            process.kill()
            process.wait()
    return {"seconds": seconds, "memory_mib": memory / 1024}


def largest_memory(pid):
    """KiB that a process has had at most. One that has ended says nothing; it isn't waited for yet."""
    with open(f"/proc/{pid}/status") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)


def process_cpu(pid):
    """Seconds of processor time that a process has taken."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def median(ran, of):
    """The median of one measure; None where nothing has it."""
    values = [result[of] for result in ran if of in result]
    return statistics.median(values) if values else None


def ratio(ran, others, of):
    """One as a part of the other: the median of the ratios of those that ran one after the other."""
    return statistics.median(one[of] / other[of] for one, other in zip(ran, others, strict=True))
