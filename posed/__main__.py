"""`python -m posed` is the `posed` command."""

from posed.cli import main

if __name__ == "__main__":
    main()
