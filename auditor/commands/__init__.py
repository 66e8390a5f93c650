"""What `auditor` can be asked for, by topic: nothing heavy is imported before a command is called."""
