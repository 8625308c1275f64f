"""Claims by each office that has to do with them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DAYS = ("registered_at", "incident_date")

_FILL = """
    insert into office_listing (claim_id, company, office, state, cause, registered_at, incident_date)
    select distinct listed.claim_id, listed.company, at.office, listed.state, listed.cause, listed.registered_at,
        listed.incident_date
    from (select id, cast(view as jsonb) as view from claims) claim
    join listing listed on listed.claim_id = claim.id,
    lateral (
        select claim.view ->> 'company', claim.view ->> 'office'
        union all select claim.view ->> 'assigned_company', claim.view ->> 'assigned_office'
        union all select task ->> 'company', task ->> 'office' from jsonb_array_elements(claim.view -> 'tasks') task
    ) as at(company, office)
    where at.office is not null and listed.company in (at.company, listed.insurer)
"""

_WORDS = """
    update listing set words = listing.words || found.words
    from (
        select claim_id, company, array_to_tsvector(array_agg(company || '/office=' || office)) as words
        from office_listing
        group by claim_id, company
    ) found
    where (found.claim_id, found.company) = (listing.claim_id, listing.company)
"""


def upgrade() -> None:
    """Go forward, with the claims that are there."""
    op.create_table(
        "office_listing",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("office", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_date", sa.Date, nullable=False),
    )
    op.execute(_FILL)
    op.execute(_WORDS)
    for day in _DAYS:
        columns = ["company", "office", "state", "cause", day, "claim_id"]
        op.create_index(f"office_listing_by_{day}", "office_listing", columns)
        op.drop_index(f"listing_by_office_{day}", "listing")


def downgrade() -> None:
    """Go back; texts go on finding claims by each of their offices, which does no harm."""
    op.drop_table("office_listing")
    for day in _DAYS:
        columns = ["company", "office", "state", "cause", day, "claim_id"]
        op.create_index(f"listing_by_office_{day}", "listing", columns)
