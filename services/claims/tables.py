"""The tables of the record of claims."""

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid, cast
from sqlalchemy.dialects.postgresql import JSONB

from shared.contract.outcomes import RequestRefused
from shared.storage.positions import positions_table

metadata = MetaData()

positions = positions_table(metadata)

requests = Table(
    "requests",
    metadata,
    Column("company", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("claim_id", Uuid, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("outcome_type", Text),
    Column("outcome", Text),
)
"""One row for each request of a company, with its one outcome (domain rule 21), and each step of a link, without."""

claims = Table(
    "claims",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("claim", Text, nullable=False),
)
"""Each claim as its events have made it."""

claim_events = Table(
    "claim_events",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("company", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("cause", Text),
    Index("claim_events_by_request", "company", "request_id"),
)
"""Every event, as it was published, with the request that caused it; the key keeps two writers apart.

`cause` is the id of the request that led to the event of a step; for a request's own it is that request's.
"""

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("company", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("step_id", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("claim_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("step", Text, nullable=False),
)
"""The steps of links that a request or a step led to, as they were published."""

claim_numbers = Table(
    "claim_numbers",
    metadata,
    Column("insurer", Text, primary_key=True),
    Column("claim_number", Text, primary_key=True),
    Column("claim_id", Uuid, nullable=False),
)
"""Every number that a claim of an insurer has or had, as it was written and as numbers are compared.

A number is never used for another claim.
"""


recoveries = Table("recoveries", metadata, Column("allowed_at", DateTime(timezone=True), primary_key=True))
"""That an operator has said that what the record lacks may be decided again; gone when it is."""

IS_REFUSED_CREATION = (requests.c.outcome_type == RequestRefused.type()) & cast(requests.c.outcome, JSONB).has_key(
    "insurer"
)
"""Only the refusal of a creation names an insurer."""
