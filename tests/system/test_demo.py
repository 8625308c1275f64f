"""`claimbus demo`, as someone runs it who sees the product for the first time."""

import re

from tests.world import as_json, claimbus_as_a_user


def test_every_step_of_the_demo_is_as_expected_and_told_to_people_and_to_a_program() -> None:
    done = claimbus_as_a_user("demo", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = as_json(done)
    assert len(steps) >= 20
    assert all(step["title"] and not step["failures"] for step in steps)
    *_, last = lines = done.stderr.strip().splitlines()
    assert re.fullmatch(rf"{len(steps)} of {len(steps)} steps as expected in \d+ s", last)
    for number, step in enumerate(steps, start=1):
        at = lines.index(f"{number:2}. {step['title']}")
        assert lines[at + 1 : at + 1 + len(step["lines"])] == [f"    {line}" for line in step["lines"]]
