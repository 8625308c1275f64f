"""Looking a report up: as it was made, or as it would be now, which is preliminary."""

from datetime import datetime
from itertools import pairwise, takewhile

from services.reporting.closing import periods_of, with_previous
from services.reporting.rules import Period
from services.reporting.store import Transaction
from shared.contract.fields import CompanyKind
from shared.contract.reports import Figures, PeriodReport
from shared.domain.directory import Directory


class UnknownPeriod(Exception):
    """The insurer has no such period, or there is no such insurer."""


class Incomplete(Exception):
    """Claims can be missing in what reports are counted from, so nothing is counted."""


async def find_report(
    transaction: Transaction, directory: Directory, insurer: str, label: str | None, now: datetime
) -> tuple[PeriodReport, str]:
    """The report of an insurer's period, and the time zone that it was counted in.

    Without a label it is the newest that is made, or where none is yet, that of the running period. One that is made is
    told also while claims can be missing, and no other: it would look like any preliminary one, and lack them. Raises
    UnknownPeriod, Incomplete, or NotKnownHere where this installation cannot tell the insurer's periods.
    """
    stored = await (transaction.reports.last(insurer) if label is None else transaction.reports.of(insurer, label))
    if stored is not None:
        return stored.message.report, stored.period.time_zone
    before, period = _find(directory, insurer, label, now)
    if await transaction.completeness.is_incomplete(hold=True) is not False:
        raise Incomplete(
            f"{period.label} is not closed, and claims can be missing in it: "
            "run `claimbus rebuild reporting`, or wait until it is done"
        )
    previous = None if before is None else await _figures(transaction, insurer, before)
    return with_previous(await _figures(transaction, insurer, period), previous), period.time_zone


async def _figures(transaction: Transaction, insurer: str, period: Period) -> Figures:
    stored = await transaction.reports.of(insurer, period.label)
    return (
        await transaction.counting.figures(insurer, period, closed_at=None) if stored is None else stored.message.report
    )


def _find(directory: Directory, insurer: str, label: str | None, now: datetime) -> tuple[Period | None, Period]:
    """Find a period that has begun, and the one before it; without a label the running one."""
    company = directory.company(insurer, now)
    if company is None or company.kind is not CompanyKind.INSURER:
        raise UnknownPeriod(f"{insurer} is not a registered insurer")
    begun = [None, *takewhile(lambda period: period.begins <= now, periods_of(directory, insurer))]
    for period, before in pairwise(reversed(begun)):
        if period is not None and label in (None, period.label):
            return before, period
    labels = [period.label for period in begun if period is not None]
    raise UnknownPeriod(f"{insurer} has no period {label}; it has {', '.join(labels[-6:])}")
