from labsched.lab.exercises.n13_world import Policy

policy = Policy(max_backlog=8, patience=3.0, retries=2, pause=2.0, factor=2.0, cancel=True)
