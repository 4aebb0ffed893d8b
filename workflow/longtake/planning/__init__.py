"""What a job will use of memory and time, said before it runs; and what it therefore asks for."""
