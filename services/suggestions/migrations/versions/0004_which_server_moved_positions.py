"""Which server has moved a position last, so that another one is met with doubt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; of positions that are there it is not known."""
    op.add_column("positions", sa.Column("server_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Go back."""
    op.drop_column("positions", "server_since")
