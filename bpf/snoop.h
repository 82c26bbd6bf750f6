/* Records and limits shared with user space: snoop_agent/wire.py mirrors this file, and a test compares the two.
 * Padding is explicit, nothing is packed: sizes and offsets are the same for every compiler. */

#define SNOOP_FORMAT 3          /* of the records: part of what names a pinned set of programs */
#define SNOOP_NAME_MAX 4096     /* bytes of one string, PATH_MAX with its NUL */
#define SNOOP_DATA_MASK 0x3fff  /* four strings of SNOOP_NAME_MAX */
#define SNOOP_SEGMENT_MAX 256   /* a file name and its separator */
#define SNOOP_COMPONENTS_MAX 2048 /* steps of one walk: directories and mounts */
#define SNOOP_BASE_DEPTH 64     /* directories above a relative name that go into its key */

/* What happened, as bits: an open for reading and writing is both. */
enum snoop_kind {
	SNOOP_READ = 1 << 0,
	SNOOP_WRITE = 1 << 1,
	SNOOP_CREATE = 1 << 2,
	SNOOP_EXECUTE = 1 << 3,
	SNOOP_MAP = 1 << 4,
	SNOOP_STAT = 1 << 5,
	SNOOP_READLINK = 1 << 6,
	SNOOP_LIST = 1 << 7,
	SNOOP_CHDIR = 1 << 8,
	SNOOP_MODIFY = 1 << 9,
	SNOOP_OPEN = 1 << 10,
	SNOOP_HELD = 1 << 11, /* found open, mapped or as a directory when recording began */
};

enum snoop_record_type {
	SNOOP_RECORD_OBJECT = 1,    /* a (container, object, kind) seen for the first time */
	SNOOP_RECORD_CONTAINER = 2, /* a cgroup below the pod's seen for the first time; its path is strings[ASKED] */
};

enum snoop_flag {
	SNOOP_ASKED_UNREADABLE = 1 << 0, /* the name could not be read from the process's memory */
	SNOOP_TRUNCATED = 1 << 1,        /* a string did not fit */
	SNOOP_RESOLVED = 1 << 2,         /* dev, ino, mount, mode and strings[TARGET] are the object's */
	SNOOP_VOLUME = 1 << 3,           /* the object is not on the container's root mount */
	SNOOP_DELETED = 1 << 4,          /* the object has no name any more */
	SNOOP_OUTSIDE = 1 << 5,          /* the walk ended outside of the container's tree */
	SNOOP_BASE_OUTSIDE = 1 << 6,     /* so did that of the base, or there was none */
	SNOOP_INTERPRETER = 1 << 7,      /* run by the kernel for another program: ELF interpreter or #! */
	SNOOP_UNCONFIRMED = 1 << 8,      /* asked for; how it ended is not known (io_uring) */
	SNOOP_EITHER = 1 << 9,           /* the error may be that of another name: the call's, or an interpreter's */
};

/* The strings that follow a record, in this order. ASKED is as the process wrote it. The others are walks: names from
 * the leaf to the root, each followed by a slash ("passwd/etc/" is /etc/passwd). */
enum snoop_string { SNOOP_ASKED, SNOOP_BASE, SNOOP_TARGET, SNOOP_EXE, SNOOP_STRINGS };

struct snoop_record {
	__u32 type;      /* enum snoop_record_type */
	__u32 flags;     /* enum snoop_flag */
	__u32 kinds;     /* enum snoop_kind */
	__s32 error;     /* 0, or the negative errno */
	__u64 time_ns;   /* CLOCK_BOOTTIME */
	__u64 container; /* cgroup ID of the container */
	__u64 ino;
	__u32 dev;   /* kernel form: major << 20 | minor */
	__u32 mount; /* mnt_id */
	__u32 mode;
	__u32 tgid; /* in the initial PID namespace */
	__u16 lengths[SNOOP_STRINGS];
	__u32 below; /* how many names the base lies below the process's root directory, plus 1; 0: unknown */
	__u32 pad;
};

/* Which system call names a path, and where. User space fills the table: one row a number. */
#define SNOOP_NO_ARG 0xff
enum snoop_call_how {
	SNOOP_BY_NAME = 1,    /* the path asked for */
	SNOOP_BY_OPEN = 2,    /* the same, and the descriptor returned gives the object; flags in an argument */
	SNOOP_BY_OPENAT2 = 3, /* the same, flags in struct open_how */
	SNOOP_BY_FD = 4,      /* a descriptor is all there is */
	SNOOP_BY_EXEC = 5,    /* failures only: sched_process_exec tells of the rest */
	SNOOP_BY_BLIND = 6,   /* opens a way to files that this hook set cannot follow: counted */
	SNOOP_BY_RESULT = 7,  /* the descriptor that it returns is all there is */
	SNOOP_BY_CHDIR = 8,   /* a name; if it succeeds, it starts from the working directory that was */
	SNOOP_BY_CHROOT = 9,  /* the same, of the root directory */
	SNOOP_BY_FCHDIR = 10, /* a descriptor that becomes the working directory */
	SNOOP_BY_SOCKET = 11, /* a socket address that may hold a name */
	SNOOP_BY_UNSHARE = 12, /* may give the process an fs_struct of its own; names nothing. Flags in an argument */
	SNOOP_BY_MOUNT = 13,  /* a name; the second one is one if the flags say so */
	SNOOP_BY_SETNS = 14,  /* may give the process other directories; names nothing */
};

struct snoop_call {
	__u16 kinds;
	__u8 how;
	__u8 name;   /* index of the path argument */
	__u8 dirfd;  /* index of the directory argument, or SNOOP_NO_ARG */
	__u8 extra;  /* index of the flags */
	__u8 second; /* index of a second path, or SNOOP_NO_ARG */
	__u8 second_dirfd;
};

/* A traced cgroup. The key is its ID. */
struct snoop_target {
	__u64 own;         /* container ID of the agent itself: never recorded */
	__u32 waiting;     /* 1: nothing counts before the first exec */
	__u32 whole;       /* 1: the target is one container, not a pod of them */
	__u64 root_mnt;    /* with root_dentry: where walks end, if not at the top of the mount namespace */
	__u64 root_dentry;
	__u32 keep_root;   /* 1: the first exec's root directory becomes that end */
	__u32 slot;        /* of its agent's ring, seen objects and counters */
	__u64 runtime_ns; /* the container runtime's mount namespace: who lives there does not count. 0: unknown */
	__u64 runtime_root; /* its root directory: who has that in another namespace is one of its hooks */
	__u64 epoch;       /* names the agent's run: each is told the containers anew */
};

/* Which container a cgroup belongs to, remembered. */
struct snoop_leaf {
	__u64 target;    /* key of the traced cgroup; 0: none of ours */
	__u64 container; /* 0: none, or the agent itself */
	__u32 slot;
	__u32 generation; /* of the configuration for which this was found out */
};

/* Depths of the traced cgroups below the hierarchy's root: pods of different QoS classes lie at different ones. */
#define SNOOP_LEVELS 4
#define SNOOP_HIERARCHIES 33 /* v2's, and up to 32 of v1's */
struct snoop_config {
	__u32 count;
	__u32 levels[SNOOP_LEVELS];
	__u32 hierarchy; /* 0: v2; N + 1: that of v1's controller N (enum cgroup_subsys_id) */
	__u32 generation; /* grows with each change of the targets: what was remembered of cgroups is void then */
	__u32 pad;
	__u64 root;      /* the hierarchy (a kernel address) */
};

/* Where the asking process lives: its cgroups from the leaf to the root. `hierarchy`, as above, is the question. */
#define SNOOP_CGROUP_DEPTH 16
#define SNOOP_CGROUP_NAME 128
struct snoop_cgroup {
	__u64 id;
	char name[SNOOP_CGROUP_NAME];
};
struct snoop_whereabouts {
	__u32 hierarchy;
	__u32 pad;
	__u64 root;       /* the hierarchy itself, as in struct snoop_config */
	__u64 runtime_ns; /* the mount namespace of the nearest ancestor that lives in another one; 0: none does */
	__u64 runtime_root; /* and its root directory (a dentry) */
	struct snoop_cgroup cgroups[SNOOP_CGROUP_DEPTH];
};

/* Per container and CPU. Never reset. */
struct snoop_counters {
	__u64 events;  /* operations seen, repeats included */
	__u64 records; /* left the kernel */
	__u64 lost;    /* found no room in the ring; tried again on the next touch */
	__u64 runtime; /* the container runtime's own, before the container's first exec */
	__u64 blind;   /* ways to files that this hook set cannot follow: 32-bit code, io_uring, file handles */
};

/* What has been seen: fingerprints of objects, in buckets of one cache line. A new one takes an empty place or another's:
 * what is forgotten may be told twice, never hidden. */
#define SNOOP_BUCKET 8
struct snoop_bucket {
	__u64 seen[SNOOP_BUCKET];
};

/* The sweep over what is there before the hooks are: user space runs a program again and again and reads this. */
#define SNOOP_SWEEP_TASKS 32
enum snoop_sweep_step {
	SNOOP_SWEEP_NEXT = 1,  /* look at the next tasks */
	SNOOP_SWEEP_PLACE = 2, /* tell a place that `task` holds: 0 executable, 1 working directory, 2 root directory */
	SNOOP_SWEEP_FILE = 3,  /* tell the file behind descriptor `at` */
	SNOOP_SWEEP_MAP = 4,   /* tell the file mapped at or after address `at` */
};
struct snoop_held_task {
	__u64 task;
	__u64 container;
	__u32 tgid;
	__u32 fds; /* how many descriptors its table has room for */
	char name[16]; /* comm */
};
struct snoop_sweep {
	__u32 step;  /* enum snoop_sweep_step */
	__u32 count; /* of `tasks` */
	__u64 task;  /* the task in hand */
	__u64 at;    /* as the step says; SNOOP_SWEEP_MAP moves it on */
	__u64 next;  /* where SNOOP_SWEEP_NEXT goes on */
	__u64 first; /* where it began */
	__u32 done;  /* 1: nothing follows */
	__u32 slot;  /* whose containers are asked for */
	struct snoop_held_task tasks[SNOOP_SWEEP_TASKS];
};
