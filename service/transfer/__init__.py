"""Transfer: export all tasks to a JSON, CSV or iCalendar file, and import tasks from a JSON or CSV file."""
