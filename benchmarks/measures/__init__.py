"""What is measured, a module for each measure: it yields rows as they come."""
