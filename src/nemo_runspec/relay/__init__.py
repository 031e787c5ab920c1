"""`tunnel = "ssh"`: a command line that our own launcher carries out on the cluster's login host.

This machine need not see the cluster: what a command reads goes there once per digest, the command
runs there with the same profile and `tunnel = "local"`, and its output and exit code come back. So
stores, outputs and queues are always local to the code that decides about them.
"""
