"""The "Train" dock: from a reader's corrections to a version that is adopted or not."""
