"""Read so many mutated messages by a seed: each is answered or put aside, within bounds of time and memory."""

import argparse
import hashlib
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.decoders import Message
from tests.fuzz.mutations import mutated, seeds

LONGEST_S = 0.5
"""Of a processor, for all readers of one message of up to 1 MiB."""
MOST_MEMORY_KIB = 64 * 1024
"""By which one message may make this process larger than it ever was."""
_TOLD_EVERY = 100_000


def problem_of(message: Message, outcomes: Counter[str]) -> str | None:
    """Have a message read; return what is wrong with that."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.thread_time()
    try:
        for outcome in message.read():
            outcomes[outcome] += 1
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    took_s = time.thread_time() - began
    if took_s > LONGEST_S:
        return f"it took {took_s:.2f} s"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    return f"it took {grown_kib // 1024} MiB" if grown_kib > MOST_MEMORY_KIB else None


def main() -> int:
    """Print counts, and keep what is wrong; the exit status is 1 then."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--found", type=Path, default=Path("found"), help="where to keep what is wrong")
    options = arguments.parse_args()
    source, messages = random.Random(options.seed), seeds()
    outcomes: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    began, longest = time.monotonic(), 0
    for number in range(1, options.messages + 1):
        message = mutated(source, messages)
        longest = max(longest, len(message.value))
        problem = problem_of(message, outcomes)
        if problem is not None:
            problems[problem] += 1
            if problems[problem] == 1:
                written = message.written()
                options.found.mkdir(exist_ok=True)
                file = options.found / hashlib.sha256(written).hexdigest()[:16]
                file.write_bytes(written)
                print(f"message {number} on {message.topic}: {problem} ({file})", flush=True)
        if number % _TOLD_EVERY == 0 or number == options.messages:
            counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"{number:,} messages, {time.monotonic() - began:.0f} s: {counts}", flush=True)
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{problems.total():,} wrong; the largest had {longest:,} bytes; {memory_mib} MiB at most")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
