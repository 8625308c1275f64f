"""Run the `claimbus` command as `python -m operations`."""

from operations.command import main

if __name__ == "__main__":
    main()
