"""What people use today, one way of training a file. Written by us, with each peer's own library."""
