"""How good suggestions are, and how fast: claims with known answers through a real Kafka, PostgreSQL and the service.

    .venv/bin/python -m benchmarks.suggestions

It invents the households of one insurer, their claims, and the reports of partners on some of them, with the errors
that people make; puts all of it on `claim-events` in random order; lets one instance of the service read it; and
compares what it suggests with what is true. The generator (`Country`) knows nothing of the matcher.
"""

import json
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from faker import Faker
from rich.console import Console
from rich.table import Table

from operations.connection import Connection
from operations.services import REGISTRY
from operations.stack import Stack
from shared.contract.envelope import outgoing
from shared.contract.events import ClaimRegistered, TemporaryClaimCreated
from shared.contract.fields import Actor, Address, Cause, Incident, Policyholder
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import CLAIM_EVENTS, LINK_SUGGESTIONS, OPERATOR

INSURER = "fjord-forsikring"
LAST_DAY = date(2026, 11, 24)
DAYS = 3 * 365
out = Console(stderr=True)


# What there is


@dataclass(frozen=True)
class Household:
    """People at an address, with one policy; one family in five has one phone number for all."""

    family: str
    given: tuple[str, ...]
    phones: tuple[str, ...]
    policy_number: str
    street: str
    number: str
    dwelling: str
    postal_code: str
    city: str


@dataclass(frozen=True)
class Report:
    """What somebody says of a damage, as it is typed."""

    name: str
    phone: str
    policy_number: str | None
    street: str
    postal_code: str
    city: str
    day: date
    cause: Cause


@dataclass
class Case:
    """A temporary claim, the kind of report it is, and the normal claim that is right for it, if there is one."""

    id: UUID
    kind: str
    report: Report
    right: UUID | None


@dataclass
class Country:
    """Invents everything from one seed: towns, streets, households, storms, claims, reports with errors."""

    normal: int
    temporary: int
    seed: int
    normals: dict[UUID, Report] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._faker = Faker("no_NO")
        self._faker.seed_instance(self.seed)
        self._towns = self._make_towns()
        self._households = [h for _ in range(self.normal * 6 // 10) for h in self._building()][: self.normal * 8 // 10]
        self._storms = [
            (self._chance.choice(self._towns)[0], LAST_DAY - timedelta(days=self._chance.randrange(300)))
            for _ in range(max(4, self.normal // 5000))
        ]
        self._make_normals()
        self._make_cases()

    # Places and people

    def _make_towns(self) -> list[tuple[str, str, list[str]]]:
        codes = self._chance.sample(range(150, 9990), max(20, self.normal // 300))
        return [(f"{code:04}", self._faker.city(), [self._street() for _ in range(40)]) for code in codes]

    def _street(self) -> str:
        chance = self._chance
        if chance.random() < 0.4:
            return str(self._faker.street_name())
        start = chance.choice(
            [
                self._faker.last_name() + "s ",
                self._faker.last_name(),
                *["Kirke", "Stor", "Strand", "Skole", "Sjø", "Øvre", "Åsveien"],
            ]
        )
        return start + chance.choice(["gate", "veien", "gata", "vei", "gaten", "plass"])

    def _building(self) -> Iterator[Household]:
        """A house with one household, or one building in eight with up to 24 flats."""
        chance = self._chance
        postal_code, city, streets = chance.choice(self._towns)
        street, number = chance.choice(streets), str(chance.randrange(1, 90))
        if chance.random() < 0.15:
            number += chance.choice(" ABCD").strip()
        flats = chance.randrange(4, 25) if chance.random() < 0.125 else 1
        for flat in range(flats):
            adults = chance.choice([1, 1, 2, 2, 2, 3])
            shared = self._phone()
            yield Household(
                family=self._faker.last_name(),
                given=tuple(
                    " ".join(self._faker.first_name() for _ in range(2 if chance.random() < 0.2 else 1))
                    for _ in range(adults)
                ),
                phones=(shared,) * adults if chance.random() < 0.2 else tuple(self._phone() for _ in range(adults)),
                policy_number=str(chance.randrange(10_000_000, 99_999_999)),
                street=street,
                number=number,
                dwelling=f"H{flat // 4 + 1:02}{flat % 4 + 1:02}" if flats > 1 else "",
                postal_code=postal_code,
                city=city,
            )

    def _phone(self) -> str:
        return f"+47{self._chance.choice('49')}{self._chance.randrange(10_000_000):07}"

    # Claims

    def _make_normals(self) -> None:
        """At most two in five in a storm, the others on any day of three years."""
        chance = self._chance
        self._of: dict[UUID, Household] = {}
        self._in_storm: set[UUID] = set()
        by_town: dict[str, list[Household]] = defaultdict(list)
        for household in self._households:
            by_town[household.postal_code].append(household)
        hit = [
            (household, day)
            for town, day in self._storms
            for household in chance.sample(by_town[town], len(by_town[town]) * 6 // 10)
        ]
        for household, day in chance.sample(hit, min(len(hit), self.normal * 4 // 10)):
            cause = chance.choice([Cause.STORM, Cause.STORM, Cause.WATER, Cause.FLOOD])
            self._in_storm.add(self._add_normal(household, day, cause))
        while len(self.normals) < self.normal:
            day = LAST_DAY - timedelta(days=chance.randrange(DAYS))
            self._add_normal(chance.choice(self._households), day, self._any_cause())

    def _any_cause(self) -> Cause:
        cause: Cause = self._chance.choice([Cause.WATER, Cause.WATER, Cause.WATER, *Cause])
        return cause

    def _add_normal(self, household: Household, day: date, cause: Cause) -> UUID:
        id = UUID(int=self._chance.getrandbits(128), version=4)
        with_policy = self._chance.random() < 0.9
        self.normals[id] = self._report(
            household, 0, day, cause, dwelling=0.8, policy_known=1.0 if with_policy else 0.0
        )
        self._of[id] = household
        return id

    def _report(
        self, household: Household, who: int, day: date, cause: Cause, *, dwelling: float, policy_known: float
    ) -> Report:
        chance = self._chance
        address = f"{household.street} {household.number}"
        if household.dwelling and chance.random() < dwelling:
            address += f" {household.dwelling}"
        return Report(
            name=f"{household.given[who]} {household.family}",
            phone=household.phones[who],
            policy_number=household.policy_number if chance.random() < policy_known else None,
            street=address,
            postal_code=household.postal_code,
            city=household.city,
            day=day,
            cause=cause,
        )

    # What partners write

    def _make_cases(self) -> None:
        """Half belong to a normal claim of the last year, with one kind of error each; half to none."""
        chance = self._chance
        recent = [id for id, report in self.normals.items() if (LAST_DAY - report.day).days < 365]
        kinds = [*ERRORS, "several errors"]
        for n, id in enumerate(chance.sample(recent, self.temporary // 2)):
            kind = kinds[n % len(kinds)]
            report = self._partners_report(id)
            for error in chance.sample(sorted(ERRORS), chance.randrange(2, 5)) if kind == "several errors" else [kind]:
                report = ERRORS[error](self, id, report)
            self._add_case(kind, report, id)
        strangers: list[tuple[str, Callable[[], Report]]] = [
            ("none: neighbour, same building and storm", self._neighbour),
            ("none: anybody, same town and storm", self._same_storm),
            ("none: same family and phone, other damage", self._family),
            ("none: same policyholder, another year", self._other_year),
            ("none: anybody", self._anybody),
        ]
        while len(self.cases) < self.temporary:
            kind, make = strangers[len(self.cases) % len(strangers)]
            self._add_case(kind, make(), None)

    def _add_case(self, kind: str, report: Report, right: UUID | None) -> None:
        self.cases.append(Case(UUID(int=self._chance.getrandbits(128), version=4), kind, report, right))

    def _partners_report(self, id: UUID) -> Report:
        """The same damage as a partner writes it: seldom a policy number, often no dwelling, some cause like it."""
        normal = self.normals[id]
        return self._report(self._of[id], 0, normal.day, normal.cause, dwelling=0.4, policy_known=0.3)

    def other_adult(self, id: UUID, report: Report) -> Report:
        """Somebody else of the household calls."""
        household = self._of[id]
        if len(household.given) == 1:
            return replace(report, name=f"{self._faker.first_name()} {self._faker.last_name()}", phone=self._phone())
        return replace(report, name=f"{household.given[1]} {household.family}", phone=household.phones[1])

    def _without_claim(self) -> Household:
        """A household that nobody has registered a claim of in the last two years."""
        if not hasattr(self, "_free"):
            with_claim = {self._of[id] for id, report in self.normals.items() if (LAST_DAY - report.day).days < 730}
            self._free = [household for household in self._households if household not in with_claim]
            self._chance.shuffle(self._free)
            self._buildings: dict[tuple[str, str, str], list[Household]] = defaultdict(list)
            for household in self._free:
                self._buildings[household.postal_code, household.street, household.number].append(household)
        return self._chance.choice(self._free)

    def _neighbour(self) -> Report:
        self._without_claim()
        while True:
            id = self._chance.choice(sorted(self._in_storm))
            home = self._of[id]
            neighbours = self._buildings.get((home.postal_code, home.street, home.number)) if home.dwelling else None
            if neighbours:
                day, cause = self.normals[id].day, self.normals[id].cause
                return self._report(self._chance.choice(neighbours), 0, day, cause, dwelling=0.4, policy_known=0.3)

    def _same_storm(self) -> Report:
        town, day = self._chance.choice(self._storms)
        while (household := self._without_claim()).postal_code != town:
            free = [h for h in self._free if h.postal_code == town]
            if not free:
                town, day = self._chance.choice(self._storms)
                continue
            household = self._chance.choice(free)
            break
        return self._report(household, 0, day, Cause.STORM, dwelling=0.4, policy_known=0.3)

    def _family(self) -> Report:
        """Another of a family with one phone, 30 days to a year from the family's claim."""
        while True:
            id = self._chance.choice(self._all_normals())
            household, day = self._of[id], self._days_away(id, 30, 365)
            if len(household.given) > 1 and household.phones[0] == household.phones[1] and day:
                return self._report(household, 1, day, self._any_cause(), dwelling=0.4, policy_known=0.3)

    def _other_year(self) -> Report:
        while True:
            id = self._chance.choice(self._all_normals())
            day = self._days_away(id, 300, DAYS)
            if day:
                return self._report(self._of[id], 0, day, self._any_cause(), dwelling=0.4, policy_known=0.3)

    def _anybody(self) -> Report:
        day = LAST_DAY - timedelta(days=self._chance.randrange(365))
        return self._report(self._without_claim(), 0, day, self._any_cause(), dwelling=0.4, policy_known=0.3)

    def _all_normals(self) -> list[UUID]:
        if not hasattr(self, "_ids"):
            self._ids = list(self.normals)
            self._days_of: dict[str, list[date]] = defaultdict(list)
            for id, household in self._of.items():
                self._days_of[household.policy_number].append(self.normals[id].day)
        return self._ids

    def _days_away(self, id: UUID, at_least: int, at_most: int) -> date | None:
        """A day so far from the claim, and as far from each other claim of the household."""
        day = self.normals[id].day + timedelta(
            days=self._chance.choice([-1, 1]) * self._chance.randint(at_least, at_most)
        )
        days = self._days_of[self._of[id].policy_number]
        good = day <= LAST_DAY and all(abs((day - other).days) >= at_least for other in days)
        return day if good else None

    # Errors

    def mistype(self, text: str, alphabet: str | None = None) -> str:
        """One typing error: a neighbouring key, a letter left out, one twice, or two swapped."""
        chance = self._chance
        places = [i for i, c in enumerate(text) if (c in alphabet if alphabet else c.isalnum())]
        at = chance.choice(places)
        how = chance.randrange(4)
        if how == 0:
            return text[:at] + chance.choice(_NEIGHBOURS.get(text[at].lower(), "x")) + text[at + 1 :]
        if how == 1:
            return text[:at] + text[at + 1 :]
        if how == 2:
            return text[:at] + text[at] + text[at:]
        return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]

    def choose(self, *of: Any) -> Any:
        """Choose one."""
        return self._chance.choice(of)


_ROWS = ("1234567890", "qwertyuiopå", "asdfghjkløæ", "zxcvbnm")
_NEIGHBOURS = {key: "".join(row[max(0, i - 1) : i] + row[i + 1 : i + 2]) for row in _ROWS for i, key in enumerate(row)}
_SHORT = (("gaten", "gt."), ("gata", "gt."), ("gate", "gt."), ("veien", "vn."), ("vei", "v."), ("plassen", "pl."))
_WITHOUT_NORWEGIAN_KEYS = str.maketrans({"å": "aa", "ø": "o", "æ": "ae", "Å": "Aa", "Ø": "O", "Æ": "Ae"})
_LIKE = {Cause.STORM: Cause.WATER, Cause.FLOOD: Cause.WATER, Cause.WATER: Cause.FLOOD}


def _abbreviated(country: Country, _: UUID, report: Report) -> Report:
    street = report.street
    for word, short in _SHORT:
        if word in street:
            street = street.replace(word, short)
            break
    return replace(report, street=street.lower() if country.choose(True, False) else street)


def _moved_day(country: Country, _: UUID, report: Report) -> Report:
    return replace(report, day=min(LAST_DAY, report.day + timedelta(days=country.choose(-3, -2, -1, 1, 2, 3))))


def _swapped_day(_: Country, __: UUID, report: Report) -> Report:
    day = report.day
    return replace(report, day=day.replace(month=day.day, day=day.month)) if day.day <= 12 else report


ERRORS: dict[str, Callable[[Country, UUID, Report], Report]] = {
    "no error": lambda country, id, report: report,
    "name mistyped": lambda country, id, report: replace(report, name=country.mistype(report.name)),
    "phone mistyped": lambda country, id, report: replace(report, phone="+47" + country.mistype(report.phone[3:])),
    "street mistyped": lambda country, id, report: replace(report, street=country.mistype(report.street)),
    "postal code mistyped": lambda country, id, report: replace(
        report, postal_code=country.mistype(report.postal_code)
    ),
    "address abbreviated": _abbreviated,
    "no å, ø, æ": lambda country, id, report: replace(
        report,
        name=report.name.translate(_WITHOUT_NORWEGIAN_KEYS),
        street=report.street.translate(_WITHOUT_NORWEGIAN_KEYS),
    ),
    "name turned round or cut": lambda country, id, report: replace(
        report,
        name=country.choose(
            ", ".join(reversed(report.name.rsplit(" ", 1))),
            " ".join([report.name[0] + ".", report.name.rsplit(" ", 1)[-1]]),
        ),
    ),
    "policy number mistyped": lambda country, id, report: replace(
        report, policy_number=country.mistype(country._of[id].policy_number)
    ),
    "another cause": lambda country, id, report: replace(report, cause=_LIKE.get(report.cause, Cause.OTHER)),
    "1–3 days off": _moved_day,
    "day and month swapped": _swapped_day,
    "another adult calls": lambda country, id, report: country.other_adult(id, report),
    "another phone": lambda country, id, report: replace(report, phone=country._phone()),
}
"""One error each, made of a right report."""


# Through the service


@dataclass(frozen=True)
class Run:
    """What the service suggests in the end, by temporary claim, and what it took from its start to its last event."""

    suggested: dict[UUID, list[UUID]]
    seconds: float
    cpu_seconds: float
    """The service's own, without PostgreSQL's and Kafka's."""


def measure(country: Country, connection: Connection, stack: Stack) -> Run:
    """Put all on the bus, start the service, wait until it has read it."""
    _publish(country, connection)
    began = time.monotonic()
    instance = stack.add("suggestions")
    total = country.normal + country.temporary
    group = Consumer(connection.client() | {"group.id": "suggestions"})
    with out.status("") as status:
        while (read := _read_by_service(group)) < total:
            status.update(f"{read} of {total} events read")
            time.sleep(0.5)
    took_s, cpu_s = time.monotonic() - began, _cpu_seconds(instance.pid)
    group.close()
    lists = _newest(connection)
    return Run({id: [s.claim_id for s in published.suggestions] for id, published in lists.items()}, took_s, cpu_s)


def _cpu_seconds(pid: int | None) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _publish(country: Country, connection: Connection) -> None:
    events: list[ClaimRegistered | TemporaryClaimCreated] = []
    for n, (id, report) in enumerate(country.normals.items()):
        events.append(
            ClaimRegistered(
                **_about(id), **_written(report), claim_number=f"2026-{n:06}", handler="kari", time_zone="Europe/Oslo"
            )
        )
    for n, case in enumerate(country.cases):
        events.append(
            TemporaryClaimCreated(
                **_about(case.id),
                **_written(case.report),
                claim_number=f"Midlertidig {n:06}",
                company="vest-skadeservice",
                office="vest-bergen",
                tasks=[],
                inside_office_hours=False,
                time_zone="Europe/Oslo",
            )
        )
    random.Random(country.seed).shuffle(events)
    producer = Producer(
        connection.client() | {"acks": "all", "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    )
    for event in events:
        message = outgoing(
            CLAIM_EVENTS.name, event.claim_id, event, id=f"{event.claim_id}/1", source="claims", cause="benchmark"
        )
        producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
        producer.poll(0)
    assert producer.flush(120) == 0


def _about(id: UUID) -> dict[str, Any]:
    return {
        "claim_id": id,
        "version": 1,
        "insurer": INSURER,
        "at": datetime(2026, 11, 24, tzinfo=UTC),
        "actor": Actor(company=INSURER),
        "audience": [INSURER],
    }


def _written(report: Report) -> dict[str, Any]:
    address = Address(street=report.street, postal_code=report.postal_code, city=report.city)
    return {
        "incident": Incident(date=report.day, cause=report.cause, address=address),
        "policyholder": Policyholder(name=report.name, phone=report.phone),
        "policy_number": report.policy_number,
    }


def _read_by_service(group: Consumer) -> int:
    partitions = [TopicPartition(CLAIM_EVENTS.name, number) for number in range(CLAIM_EVENTS.partitions)]
    try:
        return sum(max(0, p.offset) for p in group.committed(partitions, timeout=15))
    except KafkaException:  # the group's first member is only about to come
        return 0


def _newest(connection: Connection) -> dict[UUID, LinkSuggested]:
    consumer = Consumer(connection.client() | {"group.id": f"{OPERATOR}.benchmark", "enable.auto.commit": False})
    newest: dict[UUID, LinkSuggested] = {}
    try:
        partitions, left = [], 0
        for number in range(LINK_SUGGESTIONS.partitions):
            first, end = consumer.get_watermark_offsets(TopicPartition(LINK_SUGGESTIONS.name, number), timeout=15)
            partitions.append(TopicPartition(LINK_SUGGESTIONS.name, number, first))
            left += end - first
        consumer.assign(partitions)
        while left > 0:
            for message in consumer.consume(1000, 1.0):
                left -= 1
                published = LinkSuggested.model_validate_json(message.value() or b"")
                last = newest.get(published.claim_id)
                if last is None or published.revision > last.revision:
                    newest[published.claim_id] = published
    finally:
        consumer.close()
    return newest


# What came of it


@dataclass
class Tally:
    """Reports of one kind: how many, with the right claim first, among the five, with any, suggestions in all."""

    reports: int = 0
    first: int = 0
    among: int = 0
    any: int = 0
    suggested: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def searched_by_number(country: Country) -> dict[UUID, list[UUID]]:
    """For comparison, what a search finds: the same phone or policy number, at most 14 days apart, nearest first."""
    numbers: dict[str, list[UUID]] = defaultdict(list)
    for id, report in country.normals.items():
        for number in {report.phone, report.policy_number}:
            if number is not None:
                numbers[number].append(id)
    found = {}
    for case in country.cases:
        ids = {id for number in (case.report.phone, case.report.policy_number) for id in numbers.get(number or "", ())}
        apart = sorted((abs((country.normals[id].day - case.report.day).days), id) for id in ids)
        found[case.id] = [id for days, id in apart if days <= 14][:5]
    return found


def tally(country: Country, suggested: dict[UUID, list[UUID]]) -> dict[str, Tally]:
    """Count, by kind of report."""
    kinds: dict[str, Tally] = defaultdict(Tally)
    for case in country.cases:
        listed = suggested.get(case.id, [])
        kinds[case.kind] += Tally(1, listed[:1] == [case.right], case.right in listed, bool(listed), len(listed))
    return dict(kinds)


def main(
    normal: Annotated[int, typer.Option(min=2000, max=1_000_000)] = 100_000,
    temporary: Annotated[int, typer.Option(min=200, max=100_000)] = 10_000,
    seed: int = 20261124,
) -> None:
    """Measure precision, recall and throughput of suggestions."""
    country = Country(normal, temporary, seed)
    with tempfile.TemporaryDirectory(prefix="claimbus-benchmark-") as name:
        Path(name).chmod(0o711)
        stack = Stack(Path(name) / "data", dict.fromkeys(REGISTRY, 0))
        try:
            stack.start()
            run = measure(country, stack.connection, stack)
        finally:
            stack.stop()
    kinds, by_search = tally(country, run.suggested), tally(country, searched_by_number(country))
    table = Table("report", "reports", "recall@1", "recall@5", "any", "recall@1 by number", "any by number", box=None)
    for kind, t in kinds.items():
        right = any(case.right for case in country.cases if case.kind == kind)
        s = by_search[kind]
        table.add_row(
            kind,
            str(t.reports),
            f"{t.first / t.reports:.1%}" if right else "–",
            f"{t.among / t.reports:.1%}" if right else "–",
            f"{t.any / t.reports:.1%}",
            f"{s.first / t.reports:.1%}" if right else "–",
            f"{s.any / t.reports:.1%}",
        )
    Console(width=150).print(table)
    result = {
        "normal": normal,
        "temporary": temporary,
        "seed": seed,
        "seconds": round(run.seconds, 1),
        "cpu_seconds_of_the_service": round(run.cpu_seconds, 1),
        "events_per_second": round((normal + temporary) / run.seconds),
        "suggestions": _rates(country, kinds),
        "search_by_number": _rates(country, by_search),
        "lists_by_length": dict(sorted(Counter(map(len, run.suggested.values())).items())),
    }
    print(json.dumps(result, indent=2))


def _rates(country: Country, kinds: dict[str, Tally]) -> dict[str, float]:
    whole = sum(kinds.values(), Tally())
    findable = sum(case.right is not None for case in country.cases)
    return {
        "recall_at_1": round(whole.first / findable, 4),
        "recall_at_5": round(whole.among / findable, 4),
        "precision_at_1": round(whole.first / whole.any, 4),
        "precision_at_5": round(whole.among / whole.suggested, 4),
    }


if __name__ == "__main__":
    typer.run(main)
