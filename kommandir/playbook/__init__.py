"""Ansible playbooks, run through ansible-runner: what happens in them becomes events and failures with reasons."""
