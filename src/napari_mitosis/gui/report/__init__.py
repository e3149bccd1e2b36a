"""The Report step: the count that goes into the report, its area and hotspot, and the ways out of the window."""
