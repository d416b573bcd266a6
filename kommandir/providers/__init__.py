"""The providers of peons: executables that create and destroy hosts and print YAML; ``registry`` finds them.

Nothing is imported here, and the modules beside it import little: an executable that creates a host in 50 ms must not
spend as much on starting (``re`` alone, which ``argparse``, ``dataclasses`` and ``pathlib`` need, takes 9 ms).
"""
