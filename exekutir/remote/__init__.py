"""What it takes to use a kommandir that is another host: connections, workspaces to and fro, ``job.xn`` run there."""
