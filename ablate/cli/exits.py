"""The exit codes of commands, as docs/commands.md promises them."""

EXIT_FAILED_RUNS = 1
EXIT_CHANGED = 1
EXIT_USER = 2
EXIT_VERDICT = 4
"""A verdict that `--fail-on` names."""
EXIT_UNFORESEEN = 70
"""As `EX_SOFTWARE` of sysexits.h: a mistake of this program."""
EXIT_INTERRUPTED = 130
