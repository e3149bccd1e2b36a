"""A field: lazy pixels, um/px, identity; how files become one."""
