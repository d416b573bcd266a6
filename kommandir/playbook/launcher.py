"""Starts ``ansible-playbook`` (the first argument) in this interpreter, with less of a start.

A program, not a module: ``python -P launcher.py /path/to/ansible-playbook ARGUMENTS``. Standard input is empty. A tenth
of the CPU of a short playbook is spent on collecting garbage while everything that Ansible makes is kept; it is
collected more seldom here.
"""

import gc
import os
import sys

#: So many more objects made than freed start a collection; Python's own number is 700.
COLLECT_AFTER = 50_000


def standard_input_empty() -> None:
    """ansible-runner gives a terminal, at which nobody sits: without this, a prompt would wait for ever."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def collect_seldom() -> None:
    """Collect garbage more seldom than Python does by itself."""
    gc.set_threshold(COLLECT_AFTER, 20, 20)


if __name__ == "__main__":
    standard_input_empty()
    collect_seldom()
    del sys.argv[0]  # Ansible looks for its other programs beside the path of this one
    from ansible.cli.playbook import main

    sys.exit(main())
