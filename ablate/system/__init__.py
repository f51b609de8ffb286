"""This machine and this process, in rooms; above them only what names things (`digest`) and the version."""
