"""Claims and what they match."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "claims",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("claim_number", sa.Text, nullable=False),
        sa.Column("particulars", sa.Text, nullable=False),
    )
    op.create_index("claims_by_number", "claims", ["claim_number"])
    op.create_table(
        "blocks",
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("temporary", sa.Boolean, primary_key=True),
        sa.Column("incident_date", sa.Date, primary_key=True),
        sa.Column("claim_id", sa.Uuid, primary_key=True),
    )
    op.create_index("blocks_by_claim", "blocks", ["claim_id"])
    op.create_table(
        "matches",
        sa.Column("temporary_id", sa.Uuid, primary_key=True),
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("found", sa.Text, nullable=False),
    )
    op.create_index("matches_by_claim", "matches", ["claim_id"])
    op.create_table(
        "suggestions",
        sa.Column("claim_id", sa.Uuid, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("cause_claim_id", sa.Uuid, nullable=False),
        sa.Column("cause_version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("suggestions_by_cause", "suggestions", ["cause_claim_id", "cause_version"])


def downgrade() -> None:
    """Go back."""
    for table in ("suggestions", "matches", "blocks", "claims"):
        op.drop_table(table)
