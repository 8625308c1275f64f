"""What reports are counted from, and the reports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "claims",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT),
        sa.Column("office", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("inside_office_hours", sa.Boolean),
        sa.Column("ended_as", sa.Text),
        sa.Column("ended_at", _MOMENT),
    )
    temporary = sa.text("created_at is not null")
    op.create_index("claims_created", "claims", ["insurer", "created_at"], postgresql_where=temporary)
    op.create_index(
        "claims_ended",
        "claims",
        ["insurer", "ended_at"],
        postgresql_include=["created_at"],
        postgresql_where=temporary,
    )
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Uuid, primary_key=True),
        sa.Column("claim_id", sa.Uuid, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("assigned_at", _MOMENT, nullable=False),
        sa.Column("reported_at", _MOMENT),
    )
    op.create_index("tasks_assigned", "tasks", ["insurer", "assigned_at"])
    op.create_index("tasks_reported", "tasks", ["insurer", "reported_at"])
    op.create_table(
        "amended_causes",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
    )
    op.create_index("amended_causes_at", "amended_causes", ["insurer", "at"])
    op.create_table(
        "undone_links",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("linked_at", _MOMENT, nullable=False),
        sa.Column("undone_at", _MOMENT, nullable=False),
    )
    op.create_index("undone_links_at", "undone_links", ["insurer", "undone_at"])
    op.create_table(
        "refusals",
        sa.Column("company", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
    )
    op.create_index("refusals_at", "refusals", ["insurer", "at"])
    op.create_table(
        "projection",
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.text("true")),
        sa.Column("incomplete", sa.Boolean, nullable=False),
        sa.Column("rebuild", sa.Text),
        sa.Column("noticed", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.CheckConstraint("one"),
    )
    op.create_table(
        "reports",
        sa.Column("insurer", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("begins", _MOMENT, nullable=False),
        sa.Column("ends", _MOMENT, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("short", sa.Boolean, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("announced", sa.Boolean, nullable=False),
    )
    op.create_index("reports_begin", "reports", ["insurer", "begins"], unique=True)


def downgrade() -> None:
    """Go back."""
    for table in ("reports", "projection", "refusals", "undone_links", "amended_causes", "tasks", "claims"):
        op.drop_table(table)
