"""Agreement of readers and detectors on a case, and the adjudication of what they dispute."""
