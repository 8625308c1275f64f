"""How the database of portal came to be what it is, in Alembic's steps."""

VERSION = "0009"
"""The last step, which the service needs its database to have."""
