"""A new model version from a reader's corrections: what is learnt from, how, and whether it may be offered."""
