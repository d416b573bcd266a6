"""Runs of ``job.xn`` that nobody has to wait for: they live on without the connection that started them.

Whoever started one follows its events from any place on, stops it in order, and asks what came of it; all of that as
the job's user, by ``kommandir job start|follow|stop|status``. The state is a folder a run (``folder.py``).
"""
