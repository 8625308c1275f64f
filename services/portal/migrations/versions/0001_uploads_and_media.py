"""Uploads and media."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("named", sa.Boolean, nullable=False),
    )
    op.create_index("uploads_unnamed", "uploads", ["company", "started_at"], postgresql_where=sa.text("not named"))
    op.create_table(
        "media_claims",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("audience", sa.ARRAY(sa.Text), nullable=False),
    )
    op.create_table(
        "media",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("task_id", sa.Uuid, nullable=False),
        sa.Column("stored_as", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
    )
    op.create_index("media_of_task", "media", ["claim_id", "task_id"])


def downgrade() -> None:
    """Go back."""
    for table in ("media", "media_claims", "uploads"):
        op.drop_table(table)
