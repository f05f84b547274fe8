"""What lies in data/, so that nobody has to run it again: `python -m labsched.lab.stored.NAME` rebuilds the files of
one module, `make stored` those of all.
"""
