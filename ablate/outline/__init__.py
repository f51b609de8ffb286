"""What the networks of a study are on paper: built in outline, or remembered from when they were."""
