"""What one attempt is: its plan, its workspace, its call and its outcome."""
