"""Reviewing without a window: the queue of candidates, what the reader said of each, what is left to look at."""
