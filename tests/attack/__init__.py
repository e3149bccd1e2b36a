"""The attack: mutated files, killed writers, hostile servers. ``make attack`` runs all of it, the test suite a part."""
