"""Results from elsewhere: a file of accuracies, or of what was predicted of each image, as checked values."""
