"""What our virtual machines have inside: the files of the image that are ours, and the script that makes one itself.

A machine wakes from a template with the clock, name and keys of nobody. Before anybody can connect, its agent, which
listens on a serial port that only this host can write to, is given a script: clock, entropy, name, keys, address of the
name service. SSH is served only where there is a host key, so a template never serves it.
"""

from __future__ import annotations

import base64
import shlex

#: The port of the agent, as the machine sees it.
_PORT = "/dev/ttyS1"
#: What the agent says when it starts to listen.
READY = "exekutir-agent ready"
ADDRESS, PREFIX, GATEWAY = "10.0.2.15", 24, "10.0.2.2"

_AGENT = f"""\
#!/bin/sh
# Runs the scripts that the host of this virtual machine sends through a serial port: `begin N`, lines, `end N`.
# Answers `done N EXIT-CODE OUTPUT` with the end of the output in base64. Nobody but the host can write to that port.
umask 077
mkdir -p /run/exekutir
stty -F {_PORT} raw -echo -echoe -echok
exec <{_PORT} >{_PORT}
echo '{READY}'
while :; do
    IFS=' ' read -r word number || {{ sleep 1; continue; }}
    [ "$word" = begin ] || continue
    while IFS= read -r line && [ "$line" != "end $number" ]; do printf '%s\\n' "$line"; done >/run/exekutir/script
    sh /run/exekutir/script >/run/exekutir/output 2>&1 </dev/null
    code=$?
    rm -f /run/exekutir/script
    echo "done $number $code $([ ! -s /run/exekutir/output ] || tail -c 600 /run/exekutir/output | base64 -w 0)"
done
"""

_AGENT_UNIT = """\
[Unit]
Description=Agent of the host of this virtual machine
ConditionPathExists=/dev/ttyS1

[Service]
ExecStart=/usr/local/lib/exekutir/agent
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

_NETWORK = f"""\
[Match]
Name=e*

[Link]
RequiredForOnline=no

[Network]
Address={ADDRESS}/{PREFIX}
Gateway={GATEWAY}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""

_SSHD = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
HostKey /etc/ssh/ssh_host_ed25519_key
KexAlgorithms ^curve25519-sha256
"""

_SSH_UNIT = """\
[Unit]
ConditionPathExists=/etc/ssh/ssh_host_ed25519_key
"""

#: Drivers of hardware that `pc` has and nobody uses; finding nothing takes them seconds.
_NO_MODULES = ("ata_piix", "ata_generic", "floppy", "i2c_piix4", "pcspkr", "psmouse", "joydev")
#: Path to (mode, content) of what is added to the packages.
FILES = {
    "usr/local/lib/exekutir/agent": (0o755, _AGENT),
    "etc/systemd/system/exekutir-agent.service": (0o644, _AGENT_UNIT),
    "etc/systemd/system/ssh.service.d/exekutir.conf": (0o644, _SSH_UNIT),
    "etc/systemd/network/10-exekutir.network": (0o644, _NETWORK),
    "etc/ssh/sshd_config.d/50-exekutir.conf": (0o644, _SSHD),
    "etc/fstab": (0o644, "/dev/vda / ext4 defaults,noatime 0 0\n"),
    "etc/hostname": (0o644, "template\n"),
    # Empty: another one at each first boot, without a `first boot` that switches all services on.
    "etc/machine-id": (0o444, ""),
    "etc/modprobe.d/exekutir.conf": (0o644, "".join(f"blacklist {module}\n" for module in _NO_MODULES)),
}
_UNITS = "etc/systemd/system"
#: Units that would do work of their own when the clock jumps, or talk to consoles that nobody reads.
_OFF = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "podman-auto-update.timer",
    "podman-auto-update.service",
    "podman-clean-transient.service",
    "podman-restart.service",
    "podman.socket",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "systemd-binfmt.service",
    "systemd-pstore.service",
    "serial-getty@ttyS0.service",
    "ssh.socket",
    "systemd-networkd-wait-online.service",
)
#: Path to target of the symbolic links that are added.
LINKS = {
    **{f"{_UNITS}/{unit}": "/dev/null" for unit in _OFF},
    f"{_UNITS}/multi-user.target.wants/exekutir-agent.service": "/etc/systemd/system/exekutir-agent.service",
    f"{_UNITS}/multi-user.target.wants/ssh.service": "/lib/systemd/system/ssh.service",
    f"{_UNITS}/multi-user.target.wants/systemd-networkd.service": "/lib/systemd/system/systemd-networkd.service",
}

#: What a template does before it is frozen: everything has started, and what each clone needs first was read once.
SETTLING = """\
timeout 300 systemctl is-system-running --wait >/dev/null
/usr/sbin/sshd -V >/dev/null 2>&1
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /run/exekutir/key && /usr/sbin/sshd -t -h /run/exekutir/key
rm -f /run/exekutir/key /run/exekutir/key.pub
python3 -c 'import json, os, subprocess, tempfile, zipfile, shutil, platform'
perl -e 1
sync
sleep 2
"""

#: Mixes the host's random bytes in, and has the kernel take them for its generator at once.
_RESEED = (
    "open my $r,'>','/dev/urandom';my $s=pack('H*',shift);"
    "ioctl $r,0x40085203,pack('LL',512,64).$s or die $!;ioctl $r,0x5207,0 or die $!"
)


class Identity:
    """Who a virtual machine is. The keys are texts of files; ``seed`` is 64 random bytes."""

    __slots__ = ("authorized_keys", "boot_id", "epoch", "host_key", "host_name", "machine_id", "resolver", "seed")

    def __init__(self, *, host_name: str, host_key: str, authorized_keys: str, resolver: str) -> None:
        self.host_name, self.host_key, self.authorized_keys = host_name, host_key, authorized_keys
        self.resolver = resolver
        self.seed, self.machine_id, self.boot_id, self.epoch = b"", "", "", 0.0


def _file(path: str, content: str) -> str:
    return f"printf %s {shlex.quote(content)} >{path}\n"


def script(identity: Identity, *, woken: bool) -> str:
    """The script that gives a machine its identity and then serves SSH; ``woken`` when it comes from a template."""
    name = identity.host_name
    lines = [
        "set -e\numask 022\n",
        f"date -u -s @{identity.epoch:.3f} >/dev/null\n",
        f"perl -e {shlex.quote(_RESEED)} {identity.seed.hex()}\n",
        _file("/proc/sys/kernel/hostname", f"{name}\n"),
        _file("/etc/hostname", f"{name}\n"),
        _file("/etc/hosts", f"127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost\n"),
        _file("/etc/resolv.conf", identity.resolver),
        "umask 077\nmkdir -p /root/.ssh\n",
        _file("/root/.ssh/authorized_keys", identity.authorized_keys),
        _file("/etc/ssh/ssh_host_ed25519_key", identity.host_key),
    ]
    if woken:
        lines += [
            "rm -f /etc/machine-id\n",
            f"(umask 0222; echo {identity.machine_id} >/etc/machine-id)\n",
            f"(umask 0222; echo {identity.boot_id} >/run/exekutir/boot_id)\n",
            "mount --bind /run/exekutir/boot_id /proc/sys/kernel/random/boot_id\n",
            # A user namespace, as peons in the machine have, may mount proc only where one is seen without a cover.
            "mkdir -p -m 0700 /run/exekutir/proc\nmount -t proc proc /run/exekutir/proc\n",
        ]
    lines.append("systemctl --no-block start ssh\n")
    if woken:
        # Its entries then bear the new machine's and boot's names.
        lines.append("systemctl --no-block restart systemd-journald\n")
    return "".join(lines)


#: Grows the file system to a disk that became larger, and does nothing otherwise.
GROWTH = "resize2fs /dev/vda >/dev/null 2>&1\n"


def framed(number: int, text: str) -> bytes:
    """A script as the agent takes it; ``text`` ends in a newline."""
    return f"begin {number}\n{text}end {number}\n".encode(errors="surrogateescape")


def answered(line: str, number: int) -> tuple[int, str] | None:
    """Exit code and last output of script ``number``, if this line of the agent's tells it; the output is printable."""
    words = line.split(" ")
    if len(words) != 4 or words[:2] != ["done", str(number)] or not words[2].isdigit():
        return None
    try:
        output = base64.b64decode(words[3].strip() + "===").decode(errors="replace")
    except ValueError:
        output = ""
    return int(words[2]), "".join(c if c.isprintable() or c == "\n" else "?" for c in output).strip()
