/* Records and limits shared with user space: snoop_agent/wire.py mirrors this file, and a test compares the two.
 * Padding is explicit, nothing is packed: sizes and offsets are the same for every compiler. */

#define SNOOP_FORMAT 1          /* of the records: part of what names a pinned set of programs */
#define SNOOP_NAME_MAX 4096     /* bytes of one string, PATH_MAX with its NUL */
#define SNOOP_DATA_MASK 0x3fff  /* four strings of SNOOP_NAME_MAX */
#define SNOOP_SEGMENT_MAX 256   /* a file name and its separator */
#define SNOOP_BASE_DEPTH 128    /* directories above a relative name that go into its key */

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
};

struct snoop_call {
	__u16 kinds;
	__u8 how;
	__u8 name;   /* index of the path argument */
	__u8 dirfd;  /* index of the directory argument, or SNOOP_NO_ARG */
	__u8 extra;  /* index of the flags */
	__u8 pad[2];
};

/* A traced cgroup. The key is its ID. */
struct snoop_target {
	__u64 own;         /* container ID of the agent itself: never recorded */
	__u32 waiting;     /* 1: nothing counts before the first exec */
	__u32 whole;       /* 1: the target is one container, not a pod of them */
	__u64 root_mnt;    /* with root_dentry: where walks end, if not at the top of the mount namespace */
	__u64 root_dentry;
	__u32 keep_root;   /* 1: the first exec's root directory becomes that end */
	__u32 pad2;
};

/* Depths of the traced cgroups below the hierarchy's root: pods of different QoS classes lie at different ones. */
#define SNOOP_LEVELS 4
struct snoop_config {
	__u32 count;
	__u32 levels[SNOOP_LEVELS];
};

/* Where the asking process lives: its cgroups from the leaf to the root. */
#define SNOOP_CGROUP_DEPTH 16
#define SNOOP_CGROUP_NAME 128
struct snoop_cgroup {
	__u64 id;
	char name[SNOOP_CGROUP_NAME];
};
struct snoop_whereabouts {
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

/* A seen object. */
struct snoop_key {
	__u64 container;
	__u64 ino;
	__u64 hash; /* of the asked path, and of its base's walked path if relative */
	__u32 dev;
	__u32 mount;
	__u32 kinds;
	__s32 error;
};
