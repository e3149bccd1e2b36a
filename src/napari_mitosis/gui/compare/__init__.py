"""Several detectors on one field."""
