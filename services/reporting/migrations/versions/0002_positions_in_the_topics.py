"""How far the database has come in the topics, so that it is found out when it has lost something."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; of a database that is in use it is not known yet how far it has come, which its first row says."""
    op.create_table(
        "positions",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    op.execute("insert into positions select '*', 0, 0 where exists (select from claims)")


def downgrade() -> None:
    """Go back; what the database loses from then on is not found out."""
    op.drop_table("positions")
