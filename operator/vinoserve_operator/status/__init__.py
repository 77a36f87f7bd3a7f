"""What the user is told: pure functions from what was observed to a status."""
