"""The entry point of Alembic. It runs each revision in a separate transaction, on the runner's connection."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
