"""JSON numbers need no preprocessing."""

to_sample = None
