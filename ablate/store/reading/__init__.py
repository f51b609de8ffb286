"""What is read: runs, frames and samples of a study, for reports, notebooks and TensorBoard."""
