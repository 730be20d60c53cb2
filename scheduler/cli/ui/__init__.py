"""What people see and type: tables, JSON, questions, instants, a live screen."""
