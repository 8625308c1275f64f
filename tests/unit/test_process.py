"""What a service's process is spared."""

import subprocess
import sys

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
