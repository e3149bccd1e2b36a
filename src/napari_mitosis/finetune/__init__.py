"""A new model version from a reader's corrections: plan, material, training, gate, and the process that runs it."""
