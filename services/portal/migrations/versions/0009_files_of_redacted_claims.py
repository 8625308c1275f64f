"""Files of redacted claims, until the store has removed them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table("removals", sa.Column("stored_as", sa.Uuid, primary_key=True))
    op.create_index("media_stored_as", "media", ["stored_as"])


def downgrade() -> None:
    """Go back; files that wait to be removed stay in the store."""
    op.drop_index("media_stored_as", "media")
    op.drop_table("removals")
