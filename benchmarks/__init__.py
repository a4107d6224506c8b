"""What the service can do, as ratios measured in one run on one machine: see ``make bench``."""
