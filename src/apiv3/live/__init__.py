"""Live connections: send changes and alarms as they happen. A bell says that a table may have changed; the table is the log."""
