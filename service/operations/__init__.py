"""Operations: health, metrics, the documentation page, and the daily purge."""
