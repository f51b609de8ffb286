"""What holds for a process as a whole: who it is, its signals, settings, generators and ports."""
