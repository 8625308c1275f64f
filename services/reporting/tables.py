"""Reporting's tables: what reports are counted from, whether that is complete, and the reports as they were made."""

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid, text

from shared.storage.positions import positions_table

metadata = MetaData()

positions = positions_table(metadata)
_Moment = DateTime(timezone=True)

claims = Table(
    "claims",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", _Moment),
    Column("office", Text),
    Column("cause", Text),
    Column("inside_office_hours", Boolean),
    Column("ended_as", Text),
    Column("ended_at", _Moment),
    Index("claims_created", "insurer", "created_at", postgresql_where=text("created_at is not null")),
    Index(
        "claims_ended",
        "insurer",
        "ended_at",
        postgresql_include=["created_at"],
        postgresql_where=text("created_at is not null"),
    ),
)
"""Every claim with its version; the rest only of those that were created as temporary claims."""

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("claim_id", Uuid, nullable=False),
    Column("insurer", Text, nullable=False),
    Column("assigned_at", _Moment, nullable=False),
    Column("reported_at", _Moment),
    Index("tasks_assigned", "insurer", "assigned_at"),
    Index("tasks_reported", "insurer", "reported_at"),
)
"""Every task that was assigned while its claim was temporary."""

amended_causes = Table(
    "amended_causes",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("at", _Moment, nullable=False),
    Index("amended_causes_at", "insurer", "at"),
)
"""Corrections of the cause of temporary claims; the last one before a period's end counts."""

undone_links = Table(
    "undone_links",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("linked_at", _Moment, nullable=False),
    Column("undone_at", _Moment, nullable=False),
    Index("undone_links_at", "insurer", "undone_at"),
)
"""Links that were undone, so that a period that ended in between can be counted as it was."""

refusals = Table(
    "refusals",
    metadata,
    Column("company", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("at", _Moment, nullable=False),
    Column("code", Text, nullable=False),
    Index("refusals_at", "insurer", "at"),
)
"""Every creation request that was refused."""

projection = Table(
    "projection",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("incomplete", Boolean, nullable=False),
    Column("rebuild", Text),
    Column("noticed", Text, nullable=False, server_default=text("'{}'")),
)
"""One row: whether what is counted here can lack claims, and which rebuild is under way to mend it.

`noticed` has the places up to which it is known that messages were deleted unread: a group that reads nothing from a
partition commits nothing there, so the same is found at each start.
"""

reports = Table(
    "reports",
    metadata,
    Column("insurer", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("begins", _Moment, nullable=False),
    Column("ends", _Moment, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("short", Boolean, nullable=False),
    Column("message", Text, nullable=False),
    Column("announced", Boolean, nullable=False),
    Index("reports_begin", "insurer", "begins", unique=True),
)
"""Every report as it was made and published (domain rule 20); a rebuild leaves them alone."""

COUNTED = (claims, tasks, amended_causes, undone_links, refusals)
"""What is made from the stream, and can be made again from the record of claims."""
