"""The files beside the page: for papers, for programs, for pull requests."""
