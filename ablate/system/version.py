"""The version of this program: the one place."""

VERSION = "0.1.0"
