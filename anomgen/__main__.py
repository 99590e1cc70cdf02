"""`python -m anomgen` is the command `anomgen`."""

from anomgen.cli import main

if __name__ == "__main__":  # a worker process imports this module anew
    main()
