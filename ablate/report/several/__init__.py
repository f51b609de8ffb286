"""One report over several studies."""
