"""The floor that speaks HTTP: nothing below it knows what a status code is."""
