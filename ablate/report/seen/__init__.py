"""What networks see and learn: attention, images, classes, metrics, learning curves."""
