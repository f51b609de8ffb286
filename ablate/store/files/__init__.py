"""The files that lie beside a database, or where `--files` says: checkpoints, weights, histograms."""
