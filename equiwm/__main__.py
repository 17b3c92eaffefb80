"""`python -m equiwm`: the same as the `equiwm` command."""

from equiwm.cli.main import main

if __name__ == "__main__":
    main()
