"""Recipes in ``job.xn``, as a mapping or in XML: recipes of the engine whose actions are those of a job.

``reading`` checks a file and makes recipes of it, ``xmlform`` reads XML in the same way, ``contexts`` leaves steps out,
``running`` runs what is left. ``schema`` says which actions there are and what they take.
"""
