"""The command that imports recorded conversations."""
