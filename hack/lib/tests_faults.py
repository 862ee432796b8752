"""What goes wrong on the way is said in time and by its name; when its cause is gone, the next run converges."""
TESTS = {}
