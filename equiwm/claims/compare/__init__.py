"""Two policies on the same tasks: `equiwm compare`."""
