"""Training one network: data on the device, precision, one step, the loop over epochs."""
