"""Companies for a test: an insurer, a partner with two offices and another partner, with ids of their own."""

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from operations.apply import apply_directory
from operations.bus import Company, Delivered, NewRequest
from operations.command import app
from operations.connection import Connection
from operations.directory_file import DirectoryFile
from operations.stack import Instance
from operations.under_way import wait_until_finished
from tests.builders import directory_file
from tests.builders.directory_file import permission, user
from tests.builders.requests import new_request

_NUMBERS = itertools.count(1)
_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")


class Names:
    """What a test's companies, offices and users are called."""

    def __init__(self) -> None:
        number = f"{_PROCESS}{next(_NUMBERS)}"
        self.insurer_id = f"insurer-{number}"
        self.partner_id = f"partner-{number}"
        self.other_id = f"other-{number}"
        self.office = f"bergen-{number}"
        """May always create."""
        self.second_office = f"voss-{number}"
        """Outside office hours only."""
        self.other_office = f"tromso-{number}"
        """Never."""
        self.handler = f"handler-{number}"
        """The insurer's user of level 6."""
        self.adjuster = f"adjuster-{number}"
        """The insurer's user of level 5."""
        self.plumber = f"plumber-{number}"
        """The partner's user at its first office."""
        self.night_plumber = f"night-{number}"
        """The partner's user at its second office."""
        self.other_plumber = f"other-plumber-{number}"

    def directory(self) -> dict[str, Any]:
        """The directory file's content."""
        insurer = directory_file.insurer(
            self.insurer_id,
            users=[user(self.handler, "Kari Holm", 6), user(self.adjuster, "Per Lund", 5)],
            permissions=[permission(self.office), permission(self.second_office, "outside_office_hours")],
        )
        partner = directory_file.partner(
            self.partner_id,
            offices=[{"id": self.office, "name": "Bergen"}, {"id": self.second_office, "name": "Voss"}],
            users=[
                user(self.plumber, "Ola Vik", 2, self.office),
                user(self.night_plumber, "Nils Moe", 2, self.second_office),
            ],
        )
        other = directory_file.partner(
            self.other_id,
            "Other",
            offices=[{"id": self.other_office, "name": "Tromsø"}],
            users=[user(self.other_plumber, "Mari Dahl", 2, self.other_office)],
        )
        return {"companies": [insurer, partner, other]}


class World(Names):
    """A test's companies, registered, and their connections to the bus, each made when it is first asked for.

    A connection reads all that its company was ever sent, so that it makes no difference when that is.
    """

    def __init__(self, connection: Connection, registered: Names | None = None) -> None:
        """`registered` are the names of companies that are registered already; else it is done now."""
        super().__init__()
        self.connection = connection
        if registered is None:
            register(connection, [self])
        else:
            vars(self).update(vars(registered))

    @cached_property
    def insurer(self) -> Company:
        """The insurer's connection."""
        return Company(self.connection, self.insurer_id, from_start=True)

    @cached_property
    def partner(self) -> Company:
        """The connection of the partner with two offices."""
        return Company(self.connection, self.partner_id, from_start=True)

    @cached_property
    def other(self) -> Company:
        """The other partner's connection."""
        return Company(self.connection, self.other_id, from_start=True)

    def close(self) -> None:
        """Close the connections."""
        for attribute in vars(self).values():
            if isinstance(attribute, Company):
                attribute.close()

    def settle(self) -> None:
        """Wait until nothing is under way between the services, and read all that the companies were sent.

        What has not come by then will not come: without it nothing can be said of what a company was not told.
        """
        wait_until_finished(self.connection)
        for company in (self.insurer, self.partner, self.other):
            company.read_to_end()

    def creation(self, *, id: str | None = None, **changes: Any) -> NewRequest:
        """Make a request for a temporary claim; changes replace parts of its body."""
        ours = {"insurer": self.insurer_id, "office": self.office}
        return new_request("create-temporary-claim", id=id, **ours | changes)

    def registration(self, number: str, **changes: Any) -> NewRequest:
        """Make a request for a normal claim, about the same damage as `creation`; changes replace parts of its body."""
        return new_request("register-claim", claim_number=number, handler=self.handler, **changes)

    def conversion(self, claim_id: str, number: str) -> NewRequest:
        """Make a request to turn a temporary claim into a normal one."""
        return new_request("convert-to-normal", claim_id=claim_id, claim_number=number, handler=self.handler)

    def create(self, **changes: Any) -> Delivered:
        """Have a temporary claim created."""
        (outcome,) = self.partner.ask(self.creation(**changes))
        assert outcome.accepted, outcome.body
        return outcome

    def register(self, number: str, **changes: Any) -> str:
        """Have the insurer register a normal claim; return its id."""
        (outcome,) = self.insurer.ask(self.registration(number, **changes))
        assert outcome.accepted, outcome.body
        return str(outcome.body["claim_id"])

    def set_portal(self, **settings: Any) -> datetime:
        """Have the insurer change its settings; return from when they are in force."""
        (outcome,) = self.insurer.ask(NewRequest("set-portal-settings", settings))
        assert outcome.accepted, outcome.body
        return datetime.fromisoformat(outcome.body["effective_at"])

    def permit(self, office: str, creation: str, **rights: bool) -> datetime:
        """Have the insurer give an office a permission; return from when it is in force."""
        request = NewRequest("set-office-permission", {"office": office, "creation": creation, **rights})
        (outcome,) = self.insurer.ask(request)
        assert outcome.accepted, outcome.body
        return datetime.fromisoformat(outcome.body["effective_at"])

    def event(self, company: Company, name: str, claim_id: str) -> Delivered:
        """Wait for an event of a claim on a company's topic."""
        found: list[Delivered] = []

        def has_come(messages: Sequence[Delivered]) -> bool:
            found[:] = [m for m in messages if m.type == name and m.body["claim_id"] == claim_id]
            return bool(found)

        company.wait_until(has_come, what=f"{name} of {claim_id}")
        return found[0]


def report(claim: Delivered, text: str | None = None, **more: Any) -> NewRequest:
    """Make a report on the first task of a claim that was created."""
    of = {"claim_id": claim.body["claim_id"], "task_id": claim.body["task_ids"][0]}
    return new_request("report-task", **of, text=text, **more)


def link(claim: Delivered | str, target: str) -> NewRequest:
    """Make a request to link a claim, which was created or has this id, to another."""
    claim_id = claim if isinstance(claim, str) else claim.body["claim_id"]
    return new_request("link-claim", claim_id=claim_id, target_claim_number=None, target_claim_id=target)


class Worlds:
    """Registers the companies of several tests at once, which takes no longer than those of one."""

    def __init__(self, at_once: int = 16, replicas: int = 1) -> None:
        self._at_once = at_once
        self._replicas = replicas
        self._registered: defaultdict[str, list[Names]] = defaultdict(list)

    def next(self, connection: Connection) -> World:
        """The next test's companies."""
        registered = self._registered[connection.bootstrap_servers]
        if not registered:
            names = [Names() for _ in range(self._at_once)]
            register(connection, names, self._replicas)
            registered += names
        return World(connection, registered.pop(0))


def register(connection: Connection, names: Sequence[Names], replicas: int = 1) -> None:
    """Register companies, with what they need on the bus."""
    companies = [company for each in names for company in each.directory()["companies"]]
    apply_directory(connection, DirectoryFile.model_validate({"companies": companies}), None, replicas=replicas)


def wait_until(
    condition: Callable[[], bool], *, what: str, timeout_s: float = 60.0, look_every_s: float = 0.02
) -> None:
    """Wait for a condition, looking often. Raises AssertionError when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(look_every_s)


def metric(instance: Instance, name: str) -> float:
    """An instance's value of a metric, summed over the labels that its name leaves out."""
    with urllib.request.urlopen(f"{instance.health}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def claimbus(*words: str | Path, connection_file: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which takes a tenth of the time. Raises what a user would read as a fault."""
    environment = {} if connection_file is None else {"CLAIMBUS_CONNECTION_FILE": str(connection_file)}
    done = CliRunner(env=environment).invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def claimbus_as_a_user(
    *words: str | Path, connection_file: Path | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    environment = {**os.environ}
    if connection_file is not None:
        environment["CLAIMBUS_CONNECTION_FILE"] = str(connection_file)
    return subprocess.run(
        [str(Path(sys.executable).with_name("claimbus")), *(str(word) for word in words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment,
    )


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    """Read the one JSON document that a command printed."""
    return json.loads(done.stdout)
