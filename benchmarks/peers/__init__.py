"""Programs that keep conversations in Session History and in its peers, as their documentation shows.

Each module but ``turns`` is a program. It needs an environment that contains only its library.
"""
