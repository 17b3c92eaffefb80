"""Each module measures one claim of the paper and returns a result of `equiwm.results`."""
