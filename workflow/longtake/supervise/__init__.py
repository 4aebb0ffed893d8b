"""Running a job in a process of its own, which is watched and started again with less to hold."""
