"""What each command does once its settings are read. Imported only then: torch takes seconds to come."""
