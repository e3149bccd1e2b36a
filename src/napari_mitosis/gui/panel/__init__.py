"""The one panel of a viewer: its steps, the result bar above them, the entries in the menu."""
