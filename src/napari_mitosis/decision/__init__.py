"""Evidence and a rule become detections. No torch, no files."""
