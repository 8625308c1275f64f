"""Run the migrations on the connection of the service that starts."""

from alembic import context

from services.claims.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
