"""Predictions and exercises: what a learner says before a run, and what is judged after it.

predictions.py   predict       an answer given before the run, and what came of it
grading.py       check         an answer judged by behaviour, and the verdict in a sentence
progress.py      progress      what was predicted and solved, in a file of the learner's own
copies.py        reset         the learner's copy of a notebook, as it was at first
"""
