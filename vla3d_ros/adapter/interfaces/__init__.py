"""How checked motion becomes what a vendor's driver listens to. Pure: messages are values, topics are names."""
