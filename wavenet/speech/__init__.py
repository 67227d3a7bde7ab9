"""Speech: texts as units, which unit is heard when, and the acoustic model that turns units into frames."""
