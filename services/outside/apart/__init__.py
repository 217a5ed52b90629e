"""Worker processes for what users bring: killable, with budgets, apart from everybody's loops."""
