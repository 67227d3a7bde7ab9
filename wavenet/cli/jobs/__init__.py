"""What each command does once its settings are read. Imported only then, because importing torch takes seconds."""
