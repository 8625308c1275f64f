"""Closing periods: a report is made when all of its period has been read, kept as it was made, and published."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka.errors import KafkaError

from services.reporting.kept_reports import MadeReport
from services.reporting.progress import Places, Progress, Waiting
from services.reporting.rules import Period, periods_from
from services.reporting.store import Store, Transaction
from shared.contract.envelope import Outgoing, outgoing
from shared.contract.fields import CompanyKind
from shared.contract.reports import Figures, PeriodReport, ReportReady
from shared.contract.topics import REPORTS
from shared.domain.clock import NotKnownHere
from shared.domain.directory import Directory
from shared.domain.portal_settings import PortalSettings
from shared.domain.unknown_settings import set_by_newer_version
from shared.errors import Conflict, Misconfigured, kind_and_place
from shared.messaging.publisher import Publisher
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway

_SOURCE = "reporting"


class Closing:
    """Looks, again and again, whether a period can be closed. Any number of instances may: one at a time does."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        progress: Progress,
        publisher: Publisher,
        *,
        catch_up: Callable[[], Awaitable[None]],
        give_up: Callable[[str], None],
        clocks_differ_s: float,
        every_s: float,
    ) -> None:
        """Brokers' clocks may be `clocks_differ_s` behind ours.

        `catch_up` brings the directory up to date, and where it cannot be read `give_up` stops the service.
        """
        self._store = store
        self._directory = directory
        self._progress = progress
        self._publisher = publisher
        self._catch_up = catch_up
        self._give_up = give_up
        self._clocks_differ = timedelta(seconds=clocks_differ_s)
        self._every_s = every_s
        self._waits_for = ""
        self._held_up: Mapping[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a report that is being made is made after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._progress.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self.look(datetime.now(UTC))
            except (KafkaError, OSError, TimeoutError, DatabaseAway, Conflict) as error:
                log.warning("no period can be closed now", reason=type(error).__name__)
            except Misconfigured as fault:
                self._give_up(str(fault))
                return
            except Exception as error:  # noqa: BLE001 - the stream is read on, and the next look tries again
                log.error("closing periods fails", reason=kind_and_place(error))
            await asyncio.sleep(self._every_s)

    async def look(self, now: datetime) -> None:
        """Close and publish what can be, at a moment; raises what the servers raise."""
        await self._announce()
        await self._catch_up()
        over = now - self._clocks_differ
        insurers = [c.id for c in self._directory.companies(now) if c.kind is CompanyKind.INSURER]
        async with self._store.transaction() as transaction:
            incomplete = await transaction.completeness.is_incomplete()
            found = {insurer: await due_periods(transaction, self._directory, insurer, over) for insurer in insurers}
        self._log_held_up({insurer: due.held_up for insurer, due in found.items() if due.held_up is not None})
        due = {insurer: due.periods for insurer, due in found.items() if due.periods}
        metrics.REPORTS_DUE.set(sum(len(periods) for periods in due.values()))
        if not due:
            return
        if incomplete:
            self._log_reason("claims can be missing: run `claimbus rebuild reporting`, or wait until it is done")
            return
        passed = await self._progress.passed(max(periods[-1].ends for periods in due.values()))
        if isinstance(passed, Waiting):
            self._log_reason(str(passed))
            return
        for insurer, periods in due.items():
            for period in periods:
                await self.close(insurer, period, passed, now)
        await self._announce()

    async def close(self, insurer: str, period: Period, read_up_to: Places, now: datetime) -> None:
        """Make the report of a period, unless another instance makes it."""
        async with self._store.transaction(unlimited=True) as transaction:
            if not await transaction.reports.lock_closing() or await transaction.completeness.is_incomplete(hold=True):
                return
            last = await transaction.reports.last(insurer)
            if last is not None and last.period.ends != period.begins:
                return  # it was made meanwhile
            message = await made(transaction, insurer, period, last, read_up_to, now)
            await transaction.reports.keep(MadeReport(period, message))
        log.info("report is made", insurer=insurer, period=period.label)

    async def _announce(self) -> None:
        while True:
            async with self._store.transaction() as transaction:
                waiting = await transaction.reports.to_announce()
            if not waiting:
                return
            await self._publisher.publish([announcement(report.message) for report in waiting])
            async with self._store.transaction() as transaction:
                await transaction.reports.mark_announced(waiting)

    def _log_held_up(self, held_up: Mapping[str, str]) -> None:
        for insurer, reason in held_up.items():
            if self._held_up.get(insurer) != reason:
                log.warning("an insurer's reports wait", insurer=insurer, reason=reason)
        self._held_up = held_up

    def _log_reason(self, reason: str) -> None:
        if reason != self._waits_for:
            log.info("a report waits", reason=reason)
        self._waits_for = reason


@dataclass(frozen=True, slots=True)
class Due:
    """The periods of an insurer that are over and have no report yet, oldest first."""

    periods: list[Period]
    held_up: str | None = None
    """Why this installation does not know which come after them, if it does not."""


async def due_periods(transaction: Transaction, directory: Directory, insurer: str, over: datetime) -> Due:
    """An insurer's periods that are due: those before anything that this installation does not know."""
    last = await transaction.reports.last(insurer)
    periods: list[Period] = []
    try:
        for period in periods_of(directory, insurer, last.period if last else None):
            if not period.has_ended(over):
                break
            periods.append(period)
    except NotKnownHere as problem:
        return Due(periods, str(problem))
    return Due(periods)


def periods_of(directory: Directory, insurer: str, after: Period | None = None) -> Iterator[Period]:
    """An insurer's periods, from its registration or after another period, without end. Raises NotKnownHere."""
    begins = after.ends if after else directory.registered_at(insurer)
    if begins is None:
        return iter(())
    return periods_from(begins, lambda at: _settings(directory, insurer, at), after)


def _settings(directory: Directory, insurer: str, at: datetime) -> PortalSettings:
    newer = directory.not_understood(insurer, at)
    if newer:
        problem = set_by_newer_version("; ".join(newer))
        raise NotKnownHere(problem.en, problem.nb)
    return directory.settings(insurer, at)


async def made(
    transaction: Transaction,
    insurer: str,
    period: Period,
    last: MadeReport | None,
    read_up_to: Places,
    now: datetime,
) -> ReportReady:
    """Count a period, and set it against the one before, as that was made."""
    closed_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    figures = await transaction.counting.figures(insurer, period, closed_at=closed_at)
    return ReportReady(
        insurer=insurer,
        period=period.label,
        time_zone=period.time_zone,
        read_up_to=by_topic(read_up_to),
        report=with_previous(figures, last.message.report if last else None),
    )


def with_previous(figures: Figures, previous: Figures | None) -> PeriodReport:
    """Return a period's figures with those of the period before it."""
    compared = None if previous is None else Figures.model_validate(_fields(previous))
    return PeriodReport.model_validate({**_fields(figures), "previous": compared})


def by_topic(places: Places) -> dict[str, list[int]]:
    """Write places as the next offset of each partition, by topic."""
    topics: dict[str, list[int]] = {}
    for partition in sorted(places):
        topics.setdefault(partition.topic, []).append(places[partition])
    return topics


def announcement(ready: ReportReady) -> Outgoing:
    """Make the message that says that a report is made; its id is the same whenever it is sent."""
    id = f"{ready.insurer}/{ready.period}"
    return outgoing(REPORTS.name, ready.insurer, ready, id=id, source=_SOURCE, cause=id, subject=id)


def _fields(figures: Figures) -> dict[str, object]:
    return {name: getattr(figures, name) for name in Figures.model_fields}
