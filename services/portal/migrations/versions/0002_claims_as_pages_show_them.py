"""Claims as pages show them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "claims",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("view", sa.Text, nullable=False),
    )
    op.create_table(
        "history",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_table(
        "listing",
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("office", sa.Text, nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_date", sa.Date, nullable=False),
        sa.Column("claim_number", sa.Text, nullable=False),
        sa.Column("policyholder", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("handler", sa.Text),
        sa.Column("words", TSVECTOR, nullable=False),
    )
    for day in ("registered_at", "incident_date"):
        op.create_index(f"listing_by_{day}", "listing", ["company", day, "claim_id"])
        op.create_index(f"listing_by_facets_{day}", "listing", ["company", "state", "cause", day, "claim_id"])
        op.create_index(f"listing_by_office_{day}", "listing", ["company", "office", "state", "cause", day, "claim_id"])
    op.create_index("listing_by_number", "listing", ["company", "claim_number"])
    op.create_index("listing_by_words", "listing", ["words"], postgresql_using="gin")
    op.create_table(
        "waiting",
        sa.Column("insurer", sa.Text, primary_key=True),
        sa.Column("claims", sa.Integer, nullable=False),
    )
    op.create_table(
        "open_tasks",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("task_id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("office", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("claim_number", sa.Text, nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits_for_budget", sa.Boolean, nullable=False),
    )
    op.create_index("open_tasks_by_company", "open_tasks", ["company", "assigned_at"])
    op.create_index(
        "open_tasks_by_budget", "open_tasks", ["insurer", "assigned_at"], postgresql_where=sa.text("waits_for_budget")
    )
    op.create_table(
        "answers",
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("answers_by_age", "answers", ["answered_at"])
    op.create_table(
        "suggestions",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("suggested", sa.Text, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("insurer", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Go back."""
    for table in ("reports", "suggestions", "answers", "open_tasks", "waiting", "listing", "history", "claims"):
        op.drop_table(table)
