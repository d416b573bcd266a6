"""Known variables of hosts: how they are created and destroyed, what they are made of, and what roles do to them."""

from __future__ import annotations

from exekutir.variables.kinds import (
    BOOLEAN,
    COMMAND,
    HOURS,
    INTEGER,
    MAPPING,
    NAMES,
    PATH,
    SECONDS,
    TEXT,
    ListOf,
    OneOf,
)
from exekutir.variables.variable import Variable

_CLOUD = (
    Variable(
        name="cloud_provisioning_command",
        type=COMMAND,
        meaning="The command that finds a host or creates it, and prints a YAML mapping of its host variables. Set by "
        "the group of a provider. Each host has its own, so one in `exekutir_vars.yml` is the kommandir's alone.",
        host="all",
        passes=False,
        adept=True,
    ),
    Variable(
        name="cloud_destruction_command",
        type=COMMAND,
        meaning="The command that destroys a host. It succeeds when the host is gone already, or only half there.",
        host="all",
        passes=False,
        adept=True,
    ),
    Variable(
        name="cloud_environment",
        type=MAPPING,
        default={},
        meaning="Environment variables of both commands. Values of names that look like secrets are never shown.",
        host="all",
        passes=False,
        adept=True,
    ),
    Variable(
        name="cloud_asserts",
        type=NAMES,
        default=(),
        meaning="Conditions that must hold before either command is run.",
        host="all",
        passes=False,
        adept=True,
    ),
    Variable(
        name="cloud_timeout",
        type=SECONDS,
        default=600,
        meaning="How long either command may take, in seconds; a command that hangs is then ended.",
        host="all",
        passes=False,
    ),
)

_PEONS = (
    Variable(
        name="peon_groups",
        type=ListOf(TEXT, single=True),
        meaning="Groups that a peon joins when a playbook starts. Exactly one must be that of a provider "
        "(`namespace`, `podman`, `qemu`, `existing`, or one of the job's own).",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="peon_preservation",
        type=HOURS,
        default=24,
        meaning="Hours after its creation at which a peon's lease ends; `exekutir reap` then destroys it.",
        host="peon",
        passes=True,
    ),
    Variable(
        name="mitogen",
        type=OneOf("auto", "never"),
        default="auto",
        meaning="Whether playbooks reach peons by mitogen's strategy, where it is installed: `auto` for those that "
        "start when the job has peons already and name no strategy. An item `variable` of `job.xn` wins over it.",
        host="kommandir",
        passes=True,
        reader="program",
    ),
    Variable(
        name="peon_memory",
        type=INTEGER,
        meaning="Limit on a peon's memory in MiB, where its provider can set one; the memory of a virtual machine.",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_cpus",
        type=INTEGER,
        meaning="Processors of a virtual machine (provider `qemu`).",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_disk",
        type=INTEGER,
        meaning="Size of a virtual machine's disk in GiB (provider `qemu`); only what is written takes room.",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_cold",
        type=BOOLEAN,
        default=False,
        meaning="Whether a virtual machine boots, instead of being a clone of one that has booted (provider `qemu`).",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_processes",
        type=INTEGER,
        meaning="Limit on the number of a peon's processes, where its provider can set one.",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_uplink",
        type=BOOLEAN,
        default=False,
        meaning="Whether a peon may reach the network outside. It never reaches the kommandir or the exekutir.",
        host="peon",
        passes=True,
    ),
    Variable(
        name="peon_image",
        type=TEXT,
        meaning="What a peon is made from: an image of its provider. By default the root filesystem that exekutir "
        "builds and keeps.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="ssh_host_key",
        type=TEXT,
        meaning="A host's public key, which it must prove to have. Providers tell it; for an adopted host it "
        "may be set, else `~/.ssh/known_hosts` must have it.",
        host="peon",
        passes=False,
    ),
    Variable(
        name="existing_shared",
        type=BOOLEAN,
        default=False,
        meaning="Whether several jobs may adopt the same host at once (provider `existing`).",
        host="peon",
        passes=True,
    ),
    Variable(
        name="public_peons",
        type=BOOLEAN,
        default=False,
        meaning="Whether anybody may reach the peons; a provider of the job's own may read it. Those that ship never "
        "open a peon.",
        host="peon",
        passes=False,
        adept=True,
    ),
    Variable(
        name="needs_reboot",
        type=BOOLEAN,
        default=False,
        meaning="A role sets it to true where a peon has to be rebooted; the role `rebooted` does so and sets it back.",
        host="peon",
        passes=False,
        adept=True,
    ),
)

#: Read by roles that ship; each role's ``argument_specs`` say the same.
_ROLES = (
    Variable(
        name="wait_for_timeout",
        type=SECONDS,
        default=120,
        meaning="Seconds within which a new peon must answer.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="peon_pre_raw_cmds",
        type=NAMES,
        default=(),
        meaning="Commands that a new peon runs before anything needs Python there.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="bootup_timeout",
        type=INTEGER,
        default=300,
        meaning="Seconds within which a rebooted peon must answer again.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="this_role",
        type=TEXT,
        default="",
        meaning="Name of a role, for the role `failed_peon_result`.",
        host="peon",
        passes=False,
        adept=True,
    ),
    Variable(
        name="results_filepath",
        type=PATH,
        default="adept_result.txt",
        meaning="The file below `results/NAME/` that says how a peon fared.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="results_template_filepath",
        type=PATH,
        default="",
        meaning="A template of the job's own for that file when a peon failed.",
        host="peon",
        passes=True,
        adept=True,
    ),
    Variable(
        name="success_template_filepath",
        type=PATH,
        default="",
        meaning="The same for a peon that did well.",
        host="peon",
        passes=True,
        adept=True,
    ),
)

_COMPUTED = tuple(
    Variable(name=name, type=TEXT, meaning=meaning, host="peon", passes=False, adept=adept, computed=True)
    for name, meaning, adept in (
        ("peon_name", "Name of a peon at its provider: its name in the inventory, `-`, and the job's `uuid`.", False),
        ("peon_expires", "When a peon's lease ends, in seconds since 1970; worked out when it is created.", False),
        ("hostvarsfile", "The file of a host's own variables, `inventory/host_vars/NAME.yml` in the workspace.", True),
        ("empty", "The values that count as not set: null, an empty text, list or mapping.", True),
    )
)

VARIABLES = (*_CLOUD, *_PEONS, *_ROLES, *_COMPUTED)
