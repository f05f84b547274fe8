"""`python -m labsched` is `labsched`."""

from labsched.cli import main

if __name__ == "__main__":
    main()
