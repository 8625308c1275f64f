"""The reports as they were made (domain rule 20), until and after they are published."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.rules import Period
from services.reporting.tables import reports
from shared.contract.reports import ReportReady

_CLOSING = 0x7265_706F_7274_7300
"""The advisory lock of the instance that closes periods."""


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report as it was made."""

    period: Period
    message: ReportReady


class KeptReports:
    """They are written once and stay as they are, also when all else is rebuilt."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock_closing(self) -> bool:
        """Become the one instance that closes periods, until the transaction ends; False if another one is."""
        got: bool = (await self._connection.execute(select(func.pg_try_advisory_xact_lock(_CLOSING)))).scalar_one()
        return got

    async def last(self, insurer: str) -> MadeReport | None:
        """Find the newest report of an insurer."""
        rows = await self._connection.execute(
            select(reports).where(reports.c.insurer == insurer).order_by(reports.c.begins.desc()).limit(1)
        )
        row = rows.one_or_none()
        return None if row is None else made_report(row)

    async def of(self, insurer: str, period: str) -> MadeReport | None:
        """Find the report of a period."""
        rows = await self._connection.execute(
            select(reports).where(reports.c.insurer == insurer, reports.c.period == period)
        )
        row = rows.one_or_none()
        return None if row is None else made_report(row)

    async def keep(self, made: MadeReport) -> None:
        """Keep a report as it was made, to be announced."""
        period = made.period
        await self._connection.execute(
            insert(reports).values(
                insurer=made.message.insurer,
                period=period.label,
                begins=period.begins,
                ends=period.ends,
                time_zone=period.time_zone,
                short=period.short,
                message=made.message.json_bytes().decode(),
                announced=False,
            )
        )

    async def to_announce(self, limit: int = 100) -> list[MadeReport]:
        """Find reports that have not been published yet, oldest first."""
        rows = await self._connection.execute(
            select(reports).where(~reports.c.announced).order_by(reports.c.ends, reports.c.insurer).limit(limit)
        )
        return [made_report(row) for row in rows]

    async def mark_announced(self, made: Iterable[MadeReport]) -> None:
        """Remember that reports have been published."""
        await self._connection.execute(
            update(reports)
            .where(reports.c.insurer == bindparam("of"), reports.c.period == bindparam("label"))
            .values(announced=True),
            [{"of": report.message.insurer, "label": report.period.label} for report in made],
        )


def made_report(row: Any) -> MadeReport:
    """Read a row of `reports`."""
    period = Period(row.period, row.begins, row.ends, row.time_zone, row.short)
    return MadeReport(period, ReportReady.model_validate_json(row.message))
