"""The steps of links: remembered like requests, without an outcome, with the steps that they lead to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.alter_column("requests", "outcome_type", nullable=True)
    op.alter_column("requests", "outcome", nullable=True)
    op.add_column("claim_events", sa.Column("cause", sa.Text, nullable=True))
    op.create_table(
        "follow_ups",
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("step_id", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("claim_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Go back; the steps of links are forgotten, and with them what they led to."""
    op.drop_table("follow_ups")
    op.drop_column("claim_events", "cause")
    op.execute("delete from requests where outcome is null")
    op.alter_column("requests", "outcome", nullable=False)
    op.alter_column("requests", "outcome_type", nullable=False)
