"""Which path a device takes: measured once, stored with its reason, the same ever after."""
