"""Jobs on an existing Ray cluster, through its Jobs API."""
