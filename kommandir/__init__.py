"""The kommandir: runs ``job.xn`` for a context, provisions and destroys peons, keeps their leases.

It knows ``narval_engine`` by its public face and nothing of ``exekutir``, which runs it in place (``nocloud``)
or on another host.
"""
