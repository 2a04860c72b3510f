"""The only place where messages, parameters, QoS and lifecycle are known."""
