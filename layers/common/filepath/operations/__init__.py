"""What a caller can do, one file each: read, decide, write on a condition, act. See `registry` for how a file becomes
a REST route and a socket method, and `views` for how sessions and tasks are shown.
"""
