"""The database as TensorBoard shows it: event files that follow it, and the server."""
