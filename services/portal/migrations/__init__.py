"""How the database of portal came to be what it is, in Alembic's steps."""

VERSION = "0008"
"""The last step, which the service needs its database to have."""
