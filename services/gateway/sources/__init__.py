"""Files that a task takes from elsewhere: repositories at GitHub."""
