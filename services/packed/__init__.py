"""Many files as one: archives read strictly and once, archives written the same each time, and
which names and files go into a task's workspace."""
