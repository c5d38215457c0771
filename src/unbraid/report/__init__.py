"""DeviceDataset of runs."""
