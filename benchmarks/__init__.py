"""The benchmark, which measures ratios in one run on one machine. See ``make bench``."""
