"""This machine and this process: device, environment, files, imports, text and console."""
