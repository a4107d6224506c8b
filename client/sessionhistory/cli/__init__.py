"""The commands for people: sessions, history, import. They need the extra ``cli``."""
