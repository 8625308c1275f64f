"""The portal's tables: claims as pages show them, made from events alone, so that they can be thrown away."""

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, MetaData, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import TSVECTOR

from shared.storage.positions import positions_table

metadata = MetaData()

positions = positions_table(metadata)

claims = Table(
    "claims",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("view", Text, nullable=False),
)
"""Each claim as its page shows it."""

history = Table(
    "history",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("event", Text, nullable=False),
)
"""Every event, with the request that caused it."""

listing = Table(
    "listing",
    metadata,
    Column("company", Text, primary_key=True),
    Column("claim_id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("office", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("incident_date", Date, nullable=False),
    Column("claim_number", Text, nullable=False),
    Column("policyholder", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("handler", Text),
    Column("words", TSVECTOR, nullable=False),
)
"""A row for each claim and each company that may see it (domain rule 10): every query names the viewer's company.

`office` is the one that the list shows.
"""

office_listing = Table(
    "office_listing",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("company", Text, primary_key=True),
    Column("office", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("incident_date", Date, nullable=False),
)
"""A row for each office by which a company's list finds a claim; `listing` has what is shown."""

waiting = Table(
    "waiting",
    metadata,
    Column("insurer", Text, primary_key=True),
    Column("claims", Integer, nullable=False),
)
"""How many temporary claims each insurer has (domain rule 12)."""

open_tasks = Table(
    "open_tasks",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("task_id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("company", Text, nullable=False),
    Column("office", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("claim_number", Text, nullable=False),
    Column("assigned_at", DateTime(timezone=True), nullable=False),
    Column("waits_for_budget", Boolean, nullable=False),
)
"""Tasks that are not finished, of claims that are neither cancelled nor redacted."""

kept_outcomes = Table(
    "answers",
    metadata,
    Column("company", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("answered_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The outcomes of requests made in the portal, for the pages that wait for them."""

suggestions = Table(
    "suggestions",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("suggested", Text, nullable=False),
)
"""What a temporary claim may belong to: the newest list, for the insurer alone."""

kept_forms = Table(
    "kept_forms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("typed", Text, nullable=False),
    Column("kept_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""What users had typed when their session had ended, until they have logged in again."""

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ended_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The sessions that somebody has logged out of, for as long as their cookies could still be shown."""

reports = Table(
    "reports",
    metadata,
    Column("insurer", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("begins_at", DateTime(timezone=True), nullable=False),
    Column("ready", Text, nullable=False),
)
"""Reports as they were made; their topic is kept for ever."""
