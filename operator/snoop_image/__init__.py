"""What a container image holds, and what of it was used. Knows reports (`snoop_report`); nothing of the cluster."""
