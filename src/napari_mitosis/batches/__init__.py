"""Many fields in one run: detect, measure, compare, crops; tables and pictures on disk."""
