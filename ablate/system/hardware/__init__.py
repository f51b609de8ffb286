"""The machine: its processor and GPUs, memory, number formats, and what its errors mean."""
