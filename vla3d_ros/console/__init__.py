"""The operator's page: what the robot does, and the buttons of a person in a lab. Control never waits for it."""
