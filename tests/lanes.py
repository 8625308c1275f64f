"""Which tests `make test` runs beside which others, each lane in a process of its own, and in what order.

The first two lanes have a stack each; the demo and the third lane's tests have one of their own, or servers only, or
need none. What fills the topics is behind the tests that read all there is again.
"""

from xdist.scheduler import LoadScopeScheduling

_LANES = (
    ("browser", "system/test_demo.py"),
    ("system", "faults"),
    (
        "containers",
        "system/test_embedded.py",
        "system/reports/test_history.py",
        "system/reports",
        "integration",
        "unit",
        "memory",
    ),
)
"""Folders of this one, and files that are not in their folder's lane."""


def place_of(test: str) -> tuple[int, int]:
    """Tell the lane of a test, and its file's place in it."""
    file = test.split("::", maxsplit=1)[0].removeprefix("tests/")
    places = {part: (lane, place) for lane, parts in enumerate(_LANES) for place, part in enumerate(parts)}
    return max((len(part), place) for part, place in places.items() if file.startswith(part))[1]


class Lanes(LoadScopeScheduling):
    """Gives each lane to a process whole."""

    def _split_scope(self, nodeid: str) -> str:
        lane, _ = place_of(nodeid)
        return str(lane)
