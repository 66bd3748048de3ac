"""From a file that says what shall be deployed to what is to be done: pure decisions, no I/O."""
