"""What a service's process is spared."""

import subprocess
import sys

IMPORTED = """
import gc, sys
from shared.runtime.process import import_leanly, importing
import_leanly()
with importing():
    import services.claims.app
print("rich" in sys.modules, "sqlalchemy.orm" in sys.modules, "click" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


def test_a_service_imports_neither_what_is_for_terminals_nor_an_orm_and_keeps_the_collector_from_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "True", "True"]
