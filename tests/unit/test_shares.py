"""How a batch is shared out between companies: what one of them sends at once costs the others little."""

import pytest

from shared.messaging.shares import BESIDE_MODEST, MODEST, RESTS_S, Shares
from tests.clock import Clock

FLOOD, OTHER, MODEST_ONE, OURS = "requests.flood", "requests.other", "requests.modest", "claim-commands"
BATCH = 300
A_SECOND_TAKES = int(MODEST) * 10

pytestmark = pytest.mark.promise("What one company sends at once holds up no other for long.", about="requests")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> Shares:
    return Shares(clock)


def test_who_sends_much_has_a_small_part_of_each_batch_while_another_sends_little(shares: Shares, clock: Clock) -> None:
    shares.took(FLOOD, A_SECOND_TAKES)
    clock.now += RESTS_S
    assert shares.of([FLOOD], BATCH) == {FLOOD: BATCH}
    shares.took(MODEST_ONE, 1)
    assert shares.are_bounded()
    assert shares.of([FLOOD], BATCH) == {FLOOD: BESIDE_MODEST}
    assert shares.of([FLOOD, MODEST_ONE], BATCH) == {FLOOD: BESIDE_MODEST, MODEST_ONE: BATCH // 2}


def test_who_sends_much_rests_between_its_parts_while_another_sends_little(shares: Shares, clock: Clock) -> None:
    shares.took(MODEST_ONE, 1)
    shares.took(FLOOD, A_SECOND_TAKES)
    assert shares.resting() == pytest.approx({FLOOD: RESTS_S})
    assert shares.of([FLOOD, MODEST_ONE], BATCH) == {MODEST_ONE: BATCH}
    clock.now += RESTS_S
    assert shares.of([FLOOD], BATCH) == {FLOOD: BESIDE_MODEST}


def test_who_sends_much_fills_batches_when_nobody_else_has_sent_anything_lately(shares: Shares, clock: Clock) -> None:
    shares.took(MODEST_ONE, 1)
    clock.now += 10
    shares.took(FLOOD, A_SECOND_TAKES)
    assert not shares.are_bounded()
    assert shares.of([FLOOD], BATCH) == {FLOOD: BATCH}


def test_who_has_sent_all_that_it_had_at_once_is_not_one_that_sends_little(shares: Shares, clock: Clock) -> None:
    for _ in range(A_SECOND_TAKES // BESIDE_MODEST):
        shares.took(OTHER, BESIDE_MODEST)
    for _ in range(100):
        clock.now += 0.1
        shares.took(FLOOD, A_SECOND_TAKES)
        assert not shares.are_bounded()


def test_a_company_that_sends_little_again_is_not_bounded(shares: Shares, clock: Clock) -> None:
    shares.took(FLOOD, A_SECOND_TAKES)
    clock.now += 3
    shares.took(MODEST_ONE, 1)
    shares.took(FLOOD, 1)
    assert not shares.are_bounded()


def test_a_steady_stream_is_much_or_little_by_how_much_of_it_comes_in_a_second(shares: Shares, clock: Clock) -> None:
    shares.took(OTHER, A_SECOND_TAKES)
    for each, is_little in ((1, True), (20, False)):
        for _ in range(100):
            clock.now += 0.1
            shares.took(MODEST_ONE, each)
            shares.took(OTHER, A_SECOND_TAKES)
        assert shares.are_bounded() is is_little


def test_two_that_send_much_share_whole_batches(shares: Shares) -> None:
    for topic in (FLOOD, OTHER):
        shares.took(topic, A_SECOND_TAKES)
    assert shares.of([FLOOD, OTHER], BATCH) == {FLOOD: BATCH // 2, OTHER: BATCH // 2}


def test_topics_of_our_own_are_never_bounded(shares: Shares) -> None:
    shares.took(OURS, A_SECOND_TAKES)
    shares.took("request-outcomes", 1)
    shares.took(MODEST_ONE, 1)
    assert shares.of([OURS], BATCH) == {OURS: BATCH}


def test_where_too_many_have_something_it_falls_to_each_in_the_end(shares: Shares) -> None:
    topics = [f"requests.{n}" for n in range(1000)]
    taken: set[str] = set()
    while taken != set(topics):
        of = shares.of(topics, BATCH)
        assert sum(of.values()) <= BATCH
        assert all(of.values())
        taken |= set(of)
    assert shares.of([], BATCH) == {}
