"""`python -m filepath_sdk.cli`."""

from filepath_sdk.cli import main

if __name__ == "__main__":
    main()
