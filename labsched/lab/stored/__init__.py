"""What notebooks read instead of running it again: `python -m labsched.lab.stored.nNN` rebuilds the files of one."""
