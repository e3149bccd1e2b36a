"""Annotations: an append-only journal of actions, what they add up to, and its exchange with other programs."""
