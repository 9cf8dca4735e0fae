"""What tells those who are connected of every change: the table is the log, the bell only says that there is more in it."""
