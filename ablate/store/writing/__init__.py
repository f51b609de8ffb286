"""What is written: plans, claims, epochs and results of runs, costs, trials, looks. The door is `Store`."""
