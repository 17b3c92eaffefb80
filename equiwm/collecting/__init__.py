"""Episodes of an environment: collected in parallel, kept as they finish, written as logs."""
