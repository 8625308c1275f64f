"""The record of claims."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "requests",
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("claim_id", sa.Uuid, nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome_type", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("claim", sa.Text, nullable=False),
    )
    op.create_table(
        "claim_events",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_index("claim_events_by_request", "claim_events", ["company", "request_id"])
    op.create_table(
        "claim_numbers",
        sa.Column("insurer", sa.Text, primary_key=True),
        sa.Column("claim_number", sa.Text, primary_key=True),
        sa.Column("claim_id", sa.Uuid, nullable=False),
    )


def downgrade() -> None:
    """Go back."""
    for table in ("claim_numbers", "claim_events", "claims", "requests"):
        op.drop_table(table)
