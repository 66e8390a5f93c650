"""Training before the audit: strategies x seeds x architectures on one data set, comparable by construction."""
