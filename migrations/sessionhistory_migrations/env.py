"""The entry point of Alembic. It runs each revision in a separate transaction, on the runner's connection."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    transaction_per_migration=True,
    on_version_apply=lambda **_: attributes["after_step"](),
)
with context.begin_transaction():
    context.run_migrations()
