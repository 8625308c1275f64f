"""What the audit's looks at running services tell: which of them stand still and say nothing of it."""

import pytest

from shared.audit.liveness import STANDSTILL, Look, standstills

pytestmark = pytest.mark.promise(
    "Whatever is killed, hangs or is cut off at random, each request has one outcome, and all gets well by itself.",
    about="running",
)

PATIENCE_S = 60.0


def looks(*seen: tuple[int, int, bool], every_s: float = 10.0) -> list[Look]:
    """Looks at one service, each with its lag, its offset, and whether it was ready."""
    return [Look(n * every_s, "claims", lag, offset, ready) for n, (lag, offset, ready) in enumerate(seen)]


def test_a_service_that_stands_still_and_says_that_it_is_ready_is_found_once() -> None:
    (found,) = standstills(looks(*[(5, 7, True)] * 20), PATIENCE_S)
    assert (found.invariant, found.about) == (STANDSTILL, "claims")
    assert found.sentence == "ready for 70 s with 5 to read, and no progress"


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([(0, 7, True)] * 20, id="nothing to read"),
        pytest.param([(5, n, True) for n in range(20)], id="progress"),
        pytest.param([(5, 7, False)] * 20, id="not ready"),
        pytest.param([(5, 7, n % 5 > 0) for n in range(20)], id="not ready now and then"),
    ],
)
def test_what_gets_on_or_tells_that_it_does_not_is_well(seen: list[tuple[int, int, bool]]) -> None:
    assert not list(standstills(looks(*seen), PATIENCE_S))


def test_of_what_nobody_saw_nothing_is_said() -> None:
    assert not list(standstills(looks(*[(5, 7, True)] * 20, every_s=30.0), PATIENCE_S))
