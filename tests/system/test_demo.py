"""`claimbus demo`, as someone runs it who sees the product for the first time."""

import re

from tests.world import as_json, claimbus


def test_every_step_of_the_demo_is_as_expected_and_told() -> None:
    done = claimbus("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    told = re.fullmatch(r"(\d+) of (\d+) steps as expected in \d+ s", last)
    assert told, last
    assert told[1] == told[2]
    assert "✗" not in done.stdout


def test_the_demo_is_one_json_document_for_a_program() -> None:
    steps = as_json(claimbus("demo", "--json"))
    assert len(steps) >= 20
    assert all(step["title"] and not step["failures"] for step in steps)
