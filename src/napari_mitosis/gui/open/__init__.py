"""The step that opens: the list of fields, the welcome card, the pixel size, and how a field is looked at."""
