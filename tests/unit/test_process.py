"""What a service's process is spared."""

import os
import subprocess
import sys
from pathlib import Path

from shared.runtime.process import HELD_BY

IMPORTED = """
import gc, sys
from shared.runtime.process import import_leanly, importing
import_leanly()
with importing():
    import services.claims.app
    from shared.domain.public_holidays import Region
assert Region("NO").warnings == () and Region("XX").warnings
print("holidays.countries.norway" in sys.modules, "holidays.countries.spain" in sys.modules)
print(*(name in sys.modules for name in ("rich", "sqlalchemy.orm", "click")))
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


def test_a_service_imports_nothing_that_it_does_not_use_and_keeps_the_collector_from_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False", "False", "False", "True", "True"]


HELD = """
import sys
from shared.runtime.process import wait_while_held
print("held", flush=True)
wait_while_held()
print("let go", file=open(sys.argv[1], "a"))
"""


def test_a_process_that_is_held_waits_until_it_is_let_go(tmp_path: Path) -> None:
    held, hold = os.pipe()
    told = tmp_path / "told"
    environment = os.environ | {HELD_BY: str(held)}
    command = [sys.executable, "-c", HELD, str(told)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, pass_fds=[held]) as process:
        os.close(held)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        told.write_text("to be let go\n")
        os.close(hold)
    assert process.returncode == 0
    assert told.read_text() == "to be let go\nlet go\n"
