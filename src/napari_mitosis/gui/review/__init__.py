"""The review dock: candidates one by one, a key each."""
