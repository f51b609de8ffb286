"""The training engine side by side with what people use today. Start it with `make bench`."""
