"""`python -m anomgen.cli`, for launchers that want a module, is the command `anomgen`."""

from anomgen.cli import main

if __name__ == "__main__":
    main()
