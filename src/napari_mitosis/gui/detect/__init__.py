"""The step that detects: run, rule, what is shown."""
