"""Numbers of Linux system calls that a sandbox denies, by machine.

From the kernel's tables for x86_64 and for the machines that share one table, of which aarch64 is
one. Calls numbered 424 and above have the same number everywhere; a sandbox knows those that it
permits, so that calls which later kernels add are denied too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SHARED_FROM", "SHARED_PERMITTED", "TABLES", "CallTable"]

SHARED_FROM = 424
# close_range, faccessat2, epoll_pwait2, three of Landlock, futex_waitv, three of futexes, mseal
SHARED_PERMITTED = (436, 439, 441, 444, 445, 446, 449, 454, 455, 456, 462)


@dataclass(frozen=True, slots=True)
class CallTable:
    """One machine: its code in a filter, and the numbers by name.

    `open_flags` has, for each call that opens a file, the argument with the flags.
    """

    arch: int
    denied: Mapping[str, int]
    open_flags: Mapping[int, int]
    clone: int
    tgkill: int
    prlimit64: int


_X86_64 = CallTable(
    arch=0xC000003E,
    denied={
        # Files: what Landlock does not cover is here, and most of what it does.
        "creat": 85, "truncate": 76, "ftruncate": 77, "fallocate": 285, "unlink": 87,
        "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "link": 86,
        "linkat": 265, "symlink": 88, "symlinkat": 266, "mkdir": 83, "mkdirat": 258, "rmdir": 84,
        "mknod": 133, "mknodat": 259, "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92,
        "fchown": 93, "lchown": 94, "fchownat": 260, "utime": 132, "utimes": 235,
        "futimesat": 261, "utimensat": 280, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "memfd_create": 319,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300,
        # Network and other processes
        "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53,
        "accept4": 288, "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "kill": 62,
        "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "shmget": 29,
        "semget": 64, "msgget": 68, "mq_open": 240, "mq_unlink": 241, "setns": 308,
        "unshare": 272,
        # The system
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "swapon": 167,
        "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "acct": 163,
        "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
        "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
        "kexec_file_load": 320, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "add_key": 248, "request_key": 249, "keyctl": 250, "io_setup": 206, "io_submit": 209,
        "quotactl": 179, "syslog": 103, "personality": 135, "iopl": 172, "ioperm": 173,
        "modify_ldt": 154, "capset": 126,
    },
    open_flags={2: 1, 257: 2},
    clone=56, tgkill=234, prlimit64=302,
)  # fmt: skip

_AARCH64 = CallTable(
    arch=0xC00000B7,
    denied={
        "truncate": 45, "ftruncate": 46, "fallocate": 47, "unlinkat": 35, "renameat": 38,
        "renameat2": 276, "linkat": 37, "symlinkat": 36, "mkdirat": 34, "mknodat": 33,
        "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "utimensat": 88,
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
        "fremovexattr": 16, "memfd_create": 279, "name_to_handle_at": 264,
        "open_by_handle_at": 265, "fanotify_init": 262,
        "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202,
        "connect": 203, "accept4": 242, "execve": 221, "execveat": 281, "kill": 129,
        "tkill": 130, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "shmget": 194,
        "semget": 190, "msgget": 186, "mq_open": 180, "mq_unlink": 181, "setns": 268,
        "unshare": 97,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "swapon": 224,
        "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162, "acct": 89,
        "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266,
        "init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104,
        "kexec_file_load": 294, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "add_key": 217, "request_key": 218, "keyctl": 219, "io_setup": 0, "io_submit": 2,
        "quotactl": 60, "syslog": 116, "personality": 92, "capset": 91,
    },
    open_flags={56: 2},
    clone=220, tgkill=131, prlimit64=261,
)  # fmt: skip

# By the name that `uname` gives the machine.
TABLES: Mapping[str, CallTable] = {"x86_64": _X86_64, "aarch64": _AARCH64}
