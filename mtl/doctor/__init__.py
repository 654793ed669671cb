"""What is wrong with this machine's settings and services, and what to do about it."""
