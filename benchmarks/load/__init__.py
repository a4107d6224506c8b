"""The load: the requests, and h2load, which sends them."""
