"""The servers under load: the service and the ceiling, each in its own process."""
