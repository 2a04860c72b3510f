"""What training minimises: one file per idea, each with the equation it computes."""
