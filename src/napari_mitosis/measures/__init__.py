"""Numbers about detections: matching, precision and recall, calibration, agreement, density and grade."""
