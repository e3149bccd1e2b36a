"""Whole slides in the viewer: tissue, regions, a scan that streams, hotspots, an overview."""
