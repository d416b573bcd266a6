"""Known variables of a job as a whole, of the exekutir and of the kommandir."""

from __future__ import annotations

from exekutir.variables.kinds import (
    ANYTHING,
    BOOLEAN,
    COMMAND,
    DAYS,
    HOURS,
    INTEGER,
    NAMES,
    PATH,
    SECONDS,
    TEXT,
    ListOf,
    Record,
)
from exekutir.variables.variable import Variable

#: Keys of one item of ``git_cache_args``: ``cachepath``, and the options of Ansible's ``git`` module.
_GIT_CACHE = Record(
    {
        "repo": TEXT,
        "cachepath": PATH,
        "version": TEXT,
        "recursive": BOOLEAN,
        "depth": INTEGER,
        "force": BOOLEAN,
        "update": BOOLEAN,
        "clone": BOOLEAN,
        "refspec": TEXT,
        "reference": PATH,
        "remote": TEXT,
        "single_branch": BOOLEAN,
        "track_submodules": BOOLEAN,
        "accept_hostkey": BOOLEAN,
        "accept_newhostkey": BOOLEAN,
        "key_file": PATH,
        "ssh_opts": TEXT,
        "executable": PATH,
        "bare": BOOLEAN,
        "umask": TEXT,
        "verify_commit": BOOLEAN,
        "gpg_allowlist": NAMES,
        "archive": PATH,
        "archive_prefix": TEXT,
        "separate_git_dir": PATH,
    },
    required=("repo", "cachepath"),
)

#: Keys of one item of ``file_cache_args``.
_FILE_CACHE = Record({"url": TEXT, "checksum": TEXT, "cachepath": PATH}, required=("url", "checksum", "cachepath"))

_JOB = (
    Variable(
        name="uuid",
        type=TEXT,
        meaning="Names everything of this job: hosts, users, folders. Made once in `setup` (a letter, random digits) "
        "and never changed. Lower-case letters, digits and `-`, a letter first, at most 32: valid as the name of a "
        "user and of a host. It is one job's alone: a cleanup ends whatever bears it.",
        host="all",
        passes=True,
        adept=True,
        reader="program",
    ),
    Variable(
        name="job_path",
        type=PATH,
        meaning="The folder of the job, or the name of a bundled one. A relative one in a file starts at that file's "
        "folder. Better given with `--job`.",
        host="exekutir",
        passes=False,
        adept=True,
        reader="program",
    ),
    Variable(
        name="job_name",
        type=TEXT,
        meaning="What people call the job, in the display and in results. By default the last part of `job_path`.",
        host="all",
        passes=True,
        adept=True,
        reader="program",
    ),
    Variable(
        name="adept_debug",
        type=BOOLEAN,
        default=False,
        meaning="Roles show the values they work with, and cleanup leaves the files that `cleanup_globs` names.",
        host="all",
        passes=True,
        adept=True,
        reader="program",
    ),
    Variable(
        name="cleanup",
        type=BOOLEAN,
        default=True,
        meaning="Whether the peons are destroyed in the context `cleanup`. If not, they live until their lease ends.",
        host="all",
        passes=True,
        adept=True,
        reader="program",
    ),
    Variable(
        name="cleanup_globs",
        type=NAMES,
        default=(),
        meaning="Files that `cleanup` removes: patterns of a shell, relative to the workspace. Meant for credentials.",
        host="exekutir",
        passes=False,
        adept=True,
        reader="program",
    ),
    Variable(
        name="environment_pass",
        type=NAMES,
        default=(),
        meaning="Names of environment variables that commands and playbooks of the job may see besides the usual ones.",
        host="all",
        passes=True,
        reader="program",
    ),
    Variable(
        name="git_cache_args",
        type=ListOf(_GIT_CACHE),
        default=(),
        meaning="Git repositories that are fetched once into the workspace's `cache/`, below `cachepath`, with options "
        "of Ansible's `git` module.",
        host="kommandir",
        passes=False,
        adept=True,
    ),
    Variable(
        name="file_cache_args",
        type=ListOf(_FILE_CACHE),
        default=(),
        meaning="Files that are fetched once into the workspace's `cache/`, as `cachepath`: packages, images and the "
        "like. `checksum` is `sha256:` and 64 digits.",
        host="kommandir",
        passes=True,
    ),
    Variable(
        name="git_op_timeout",
        type=INTEGER,
        default=1800,
        meaning="Seconds that fetching them may take.",
        host="kommandir",
        passes=True,
        adept=True,
    ),
    Variable(
        name="always_force",
        type=BOOLEAN,
        default=False,
        meaning="Whether changes in those repositories are thrown away.",
        host="kommandir",
        passes=True,
        adept=True,
    ),
    Variable(
        name="no_log_synchronize",
        type=BOOLEAN,
        default=True,
        meaning="Hides the long lists of files that copying prints.",
        host="all",
        passes=True,
        adept=True,
    ),
    Variable(
        name="pull_request_description",
        type=TEXT,
        meaning="Text of the pull request that the job tests, for the job to use as it likes.",
        host="all",
        passes=True,
        adept=True,
    ),
)

_EXEKUTIR = (
    Variable(
        name="extra_exekutir_setup",
        type=COMMAND,
        meaning="A shell command that `setup` runs on the exekutir once the kommandir's workspace is laid out, for "
        "files that only this host has.",
        host="exekutir",
        passes=False,
        adept=True,
    ),
    Variable(
        name="extra_kommandir_setup",
        type=Record({**COMMAND.keys, "delegate": TEXT}, required=("command",), name="command"),
        meaning="A shell command that is run each time that the kommandir's workspace is brought up to date.",
        host="kommandir",
        passes=False,
        adept=True,
    ),
    Variable(
        name="sync_excludes",
        type=NAMES,
        default=(),
        meaning="Names at the top of the job's folder that are not copied into the workspace; and names, or paths and "
        "patterns as rsync has them (`results/*.iso`), that stay on either side when the workspace travels to a remote "
        "kommandir and back.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="lock_dir",
        type=PATH,
        meaning="Folder of the locks; all who share a kommandir must name the same. By default "
        "`$EXEKUTIR_STATE/locks`, else `~/.local/state/exekutir/locks`.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="lock_lease",
        type=SECONDS,
        meaning="How long a lock outlives a host that is gone, in seconds, where hosts share `lock_dir`; a process "
        "that stands still for longer has lost it and stops. 0: the locks are the kernel's, for one host. By default "
        "60 on a network file system, else 0. All who share the folder must have the same.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="lock_timeout",
        type=SECONDS,
        meaning="How long to wait for a lock, in seconds; after that the exit code is 6. By default as long as "
        "`--timeout` allows.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
)

_KOMMANDIR = (
    Variable(
        name="kommandir_groups",
        type=NAMES,
        default=("nocloud",),
        meaning="Groups of the kommandir; the one with the name of a provider says where it comes from. `nocloud`: "
        "this host, in a folder of its own.",
        host="exekutir",
        passes=False,
        adept=True,
        reader="program",
    ),
    Variable(
        name="kommandir_name_prefix",
        type=TEXT,
        default="",
        meaning="First part of the kommandir's name; jobs with the same one share a kommandir and its locks.",
        host="exekutir",
        passes=False,
        adept=True,
        reader="program",
    ),
    Variable(
        name="stonith",
        type=BOOLEAN,
        default=False,
        meaning="Whether `cleanup` also retires a kommandir that is not this host, however new it is: who uses it now "
        "finishes there, everybody else gets a new one, and the last who leaves destroys it.",
        host="exekutir",
        passes=False,
        adept=True,
        reader="program",
    ),
    Variable(
        name="kommandir_max_age",
        type=DAYS,
        default=3,
        meaning="Days after which a kommandir that is not this host is retired in the same way; 0 for never.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="kommandir_lease",
        type=HOURS,
        default=24,
        meaning="Hours for which a job keeps its kommandir from being destroyed between its contexts; it starts anew "
        "with each context, and ends with `cleanup`.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="kommandir_timeout",
        type=SECONDS,
        default=900,
        meaning="Seconds in which a kommandir must be created and answer, or be destroyed.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="reconnect_timeout",
        type=SECONDS,
        default=300,
        meaning="Seconds for which a lost connection to the kommandir is tried again, while the job goes on there.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    *(
        Variable(name=name, type=kind, meaning=meaning, host="exekutir", passes=False, reader="program")
        for name, kind, meaning in (
            ("kommandir_address", TEXT, "Host name or address of a kommandir that is there already (`existing`)."),
            ("kommandir_port", INTEGER, "Port of its SSH server; 22 by default."),
            ("kommandir_user", TEXT, "The user who logs in there, who must be root; `root` by default."),
            ("kommandir_host_key", TEXT, "Its public host key; else `~/.ssh/known_hosts` must have it."),
            (
                "kommandir_memory",
                INTEGER,
                "MiB of memory of a kommandir that a provider creates; its own default else.",
            ),
            ("kommandir_processes", INTEGER, "The number of processes there."),
            ("kommandir_cpus", INTEGER, "Processors of a kommandir that is a virtual machine."),
            ("kommandir_disk", INTEGER, "GiB of its disk; only what is written takes room."),
            ("kommandir_image", TEXT, "What it is made from, instead of what exekutir builds and keeps."),
        )
    ),
    Variable(
        name="kommandir_uplink",
        type=BOOLEAN,
        default=False,
        meaning="Whether a kommandir that a provider creates may reach the network outside.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
    Variable(
        name="wheel_cache",
        type=PATH,
        meaning="Folder of the Python packages that kommandirs get; by default `wheels` in exekutir's cache. What is "
        "missing there is fetched; where there is no network, it has to be put there.",
        host="exekutir",
        passes=False,
        reader="program",
    ),
)

#: Set for every playbook and command; whoever else sets them would only break his job.
_COMPUTED = tuple(
    Variable(name=name, type=TEXT, meaning=meaning, host="all", passes=False, adept=adept, computed=True)
    for name, meaning, adept in (
        (
            "workspace",
            "Folder of all state, as the host that reads it sees it; on the kommandir its own workspace.",
            True,
        ),
        (
            "kommandir_workspace",
            "The authoritative copy of the kommandir's workspace: `kommandir_workspace` there.",
            True,
        ),
        ("adept_context", "The context: `setup`, `run` or `cleanup`.", True),
        ("adept_path", "Folder in which exekutir's own roles and playbooks lie.", True),
        ("adept_optional", "Further arguments of the command line, as one text.", True),
    )
)


#: ADEPT knows these. A job that sets them is good, and they stay on the exekutir, but no role of ours reads them.
_UNREAD = tuple(
    Variable(name=name, type=kind, meaning=meaning, host="exekutir", passes=False, adept=True, reader="nobody")
    for name, kind, meaning in (
        ("install_rpms", ANYTHING, "Packages for the kommandir."),
        ("repo_rpms", ANYTHING, "Packages that hold repositories, for the kommandir."),
        ("enable_repos", ANYTHING, "Repositories to use for `install_rpms`."),
        ("disable_repos", ANYTHING, "Repositories not to use for `install_rpms`."),
        (
            "workspace_keep",
            ANYTHING,
            "Files that cleanup leaves; here it leaves all that `cleanup_globs` does not name.",
        ),
        ("extra_workspace_keep", ANYTHING, "More of them."),
        ("cleanup_assertions", ANYTHING, "Conditions for the cleanup of the workspace."),
        ("compatible_ansible_minimum", ANYTHING, "Oldest Ansible for the job; the package's own bounds hold here."),
        ("compatible_ansible_maximum", ANYTHING, "Newest Ansible for the job."),
        ("default_kommandir_groups", ANYTHING, "Groups of the kommandir where `kommandir_groups` is not set."),
        ("cloud_type", ANYTHING, "Older name for one group of the kommandir."),
    )
)

VARIABLES = (*_JOB, *_EXEKUTIR, *_KOMMANDIR, *_COMPUTED, *_UNREAD)
