"""What a job may use, and what it used."""
