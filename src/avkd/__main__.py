"""Run the command line as ``python -m avkd``."""

from avkd.cli.app import main

if __name__ == "__main__":
    main()
