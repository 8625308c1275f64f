"""Run it from the command line: exit status 1 if anything is broken."""

import argparse
import random
import shutil
import sys

from tests.random_faults.running import run
from tests.random_faults.schedule import Extra
from tests.shared_stack import new_folder


def main() -> int:
    """Run one seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.random_faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--with", dest="extras", nargs="*", type=Extra, choices=list(Extra), default=list(Extra), metavar="FAULTS"
    )
    parser.add_argument("--old", metavar="COMMIT", help="what upgrades begin with; without it there are none")
    options = parser.parse_args()
    folder = new_folder()
    found = run(
        folder,
        options.seed,
        options.minutes * 60,
        options.extras,
        report=lambda line: print(line, file=sys.stderr),
        old=options.old or None,
    )
    print(found)
    if found.violations or found.not_provoked:
        print(f"what the services logged is in {folder / 'logs'}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
