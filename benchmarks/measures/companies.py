"""companies: what each that is registered costs, with its topics, while it does nothing."""

import time
from collections.abc import Iterator

from benchmarks.accounting import look, memory_mib
from benchmarks.contestants import Claimbus
from benchmarks.figures import Row
from benchmarks.installation import INSURER, RoomyKafka, apply, installation
from benchmarks.measures.latency import claims_at
from benchmarks.names import ALL_SEVEN
from benchmarks.options import Options
from benchmarks.run import run_load
from operations.directory_file import CompanyEntry, DirectoryFile, OfficeEntry, PermissionEntry
from operations.options import err
from operations.stack import Stack
from shared.contract.fields import CompanyKind, CreationPermission

IDLE, LATENCY = "idle", "companies"
_OF_THE_DEMO = 3
_IDLE_S = 30.0
_RATE = 100
_SECONDS = 20
_SETTLE_S = 10.0
"""Readers look for new topics every two seconds, and a rebalance takes its time."""


def measure_companies(options: Options) -> Iterator[Row]:
    """The idle CPU of everything, and the latency of one partner, with ever more companies."""
    with installation(RoomyKafka) as stack:
        services = Claimbus(stack, ALL_SEVEN)
        services.start()
        run_load(stack, services, "", "", claims=max(20, options.claims // 10))
        for companies in options.companies:
            err.print(f"companies: {companies:,}")
            case = case_of(companies)
            apply(stack, partners(companies - _OF_THE_DEMO))
            services.start()
            time.sleep(_SETTLE_S)
            for _ in range(options.rounds):
                yield _idle(stack, services, case)
                yield run_load(stack, services, LATENCY, case, claims=claims_at(_RATE, _SECONDS), rate=_RATE)


def case_of(companies: int) -> str:
    """What a number of companies is called."""
    return f"{companies:,} companies"


def partners(companies: int, offices: int = 1) -> DirectoryFile:
    """Small partners with offices, each of which may create claims for the demo's insurer."""
    found = [
        CompanyEntry(
            id=f"partner-{n}",
            name=f"Partner {n}",
            kind=CompanyKind.PARTNER,
            partitions=1,
            offices=[OfficeEntry(id=f"office-{n}-{m}", name=f"Kontor {m}") for m in range(offices)],
        )
        for n in range(companies)
    ]
    permissions = [
        PermissionEntry(office=office.id, creation=CreationPermission.ALWAYS)
        for each in found
        for office in each.offices
    ]
    return DirectoryFile(companies=[*found, _insurer(permissions)])


def _insurer(permissions: list[PermissionEntry]) -> CompanyEntry:
    return CompanyEntry(id=INSURER, name="Fjord Forsikring", kind=CompanyKind.INSURER, permissions=permissions)


def _idle(stack: Stack, services: Claimbus, case: str) -> Row:
    processes = {"kafka": [stack.kafka.pid], "postgres": [stack.postgres.pid], **services.processes()}
    first = look(processes)
    time.sleep(_IDLE_S)
    usage = look(processes).since(first)
    percent = {name: round(100 * seconds / usage.seconds, 2) for name, seconds in usage.cpu_s.items()}
    return Row(
        measure=IDLE,
        case=case,
        figures={"percent_of_a_core": round(sum(percent.values()), 2)},
        share_of_a_core=percent,
        memory_mib=memory_mib(processes),
        other_cores=round(usage.other_cores, 2),
    )
