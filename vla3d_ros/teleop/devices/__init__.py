"""The devices a person may hold: each turns what it hears into `DeviceState`."""
