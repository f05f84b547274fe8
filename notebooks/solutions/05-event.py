# Taking the lock at 11.0 s was right, waking up is no mistake: wrong is what a does with a lock that it no longer has.
wrong_line = 7
