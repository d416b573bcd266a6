"""The mapping form of ``job.xn``: recipes of the engine whose actions are those of a job.

``reading`` checks a file and makes recipes of it, ``contexts`` leaves steps out, ``running`` runs what is left.
``schema`` says which actions there are and what they take.
"""
