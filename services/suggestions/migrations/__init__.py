"""How the database of suggestions came to be what it is, in Alembic's steps."""

VERSION = "0004"
"""The last step, which the service needs its database to have."""
