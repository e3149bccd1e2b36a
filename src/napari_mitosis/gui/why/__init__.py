"""Why: the known figures that a detection looks most like."""
