"""A world that is known by its logs alone: recorded episodes, split by episode, never stepped."""
