"""Starts ``ansible-playbook`` (the first argument) in this interpreter, with less of a start.

A program, not a module: ``python -P launcher.py /path/to/ansible-playbook ARGUMENTS``. Two things cost Ansible a fifth
of the CPU of a short playbook and give it nothing: collecting garbage while everything that it makes is kept, and
importing paramiko, which it does wherever that is installed, whatever the connections are. Standard input is empty.
"""

import gc
import importlib.util
import os
import sys

#: So many more objects made than freed start a collection; Python's own number is 700.
COLLECT_AFTER = 50_000


def imported_when_used(name: str) -> None:
    """Make ``import name`` wait for the first use of the module; nothing where there is none."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)


def standard_input_empty() -> None:
    """ansible-runner gives a terminal, at which nobody sits: without this, a prompt would wait for ever."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    standard_input_empty()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    imported_when_used("paramiko")
    del sys.argv[0]  # Ansible looks for its other programs beside the path of this one
    from ansible.cli.playbook import main

    sys.exit(main())
