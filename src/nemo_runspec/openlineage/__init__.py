"""What runs, and what it reads and makes, told as OpenLineage events through its own client.

Nothing is told, and the client not even imported, unless it is configured by the client's own means
(:mod:`nemo_runspec.openlineage.settings`). Told are each job's START and its COMPLETE, FAIL or
ABORT, with the versions that it reads and makes, and a pipeline's, which is its jobs' parent.
"""
