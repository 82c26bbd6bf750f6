/* From a dentry and its mount up to the container's root: one step at a time. */

struct snoop_path {
	void *mnt; /* struct vfsmount */
	void *dentry;
};

/* Where a process stands: working and root directory. */
struct places {
	struct snoop_path pwd;
	struct snoop_path root;
};

/* The cursor lives in map memory: in registers the verifier follows every iteration's values apart and gives up. */
struct cursor {
	void *dentry;
	void *mount; /* struct mount */
	void *root;  /* of that mount */
};

enum step { STEP_NAME, STEP_MOUNT, STEP_TOP };

static __always_inline void cursor_start(volatile struct cursor *at, struct snoop_path *path)
{
	void *mount = mount_of(path->mnt);

	at->dentry = path->dentry;
	at->mount = mount;
	at->root = GET(void *, mount, mount_mnt_mnt_root);
}

/* From here on the walk follows the file system up to `end`, whatever is mounted on the way. */
static __always_inline void cursor_flat(volatile struct cursor *at, void *end)
{
	at->root = end;
	at->mount = 0; /* which has no parent */
}

/* STEP_NAME: *named has a name on the path, the cursor stands on its parent. STEP_MOUNT: crossed to the mount below.
 * STEP_TOP: nothing is above, or the target's own root was met. */
static __always_inline enum step cursor_step(volatile struct cursor *at, struct snoop_target *target, void **named)
{
	void *dentry = at->dentry, *mount = at->mount, *parent;

	if (target->root_dentry && (__u64)dentry == target->root_dentry &&
	    (__u64)AT(mount, mount_mnt) == target->root_mnt)
		return STEP_TOP;
	if (dentry == at->root) {
		parent = GET(void *, mount, mount_mnt_parent);
		if (!parent || parent == mount)
			return STEP_TOP;
		at->dentry = GET(void *, mount, mount_mnt_mountpoint);
		at->mount = parent;
		at->root = GET(void *, parent, mount_mnt_mnt_root);
		return STEP_MOUNT;
	}
	parent = GET(void *, dentry, dentry_d_parent);
	if (!parent || parent == dentry)
		return STEP_TOP;
	*named = dentry;
	at->dentry = parent;
	return STEP_NAME;
}

/* The file behind a descriptor of a process, or 0. MEMBER reads as the pointer to the task allows. */
#define FILE_OF(READ, task, fd)                                                                                        \
	({                                                                                                             \
		void *__files = READ(void *, task, task_struct_files), *__file = 0;                                    \
		void *__table = __files ? READ(void *, __files, files_struct_fdt) : 0;                                 \
		int __fd = (fd);                                                                                       \
		if (__table && __fd >= 0 && (__u32)__fd < READ(__u32, __table, fdtable_max_fds))                       \
			LOAD_AT(__file, GET(__u64, __table, fdtable_fd) + __fd * sizeof(void *));                      \
		__file;                                                                                                \
	})

/* Of the current process, by the pointer that CURRENT_TASK() gave. */
static __always_inline void *file_of(void *task, int fd)
{
	return FILE_OF(MEMBER, task, fd);
}

/* Of any other. */
static __always_inline void *file_of_other(void *task, int fd)
{
	return FILE_OF(GET, task, fd);
}

static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash ^= value;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 29);
}
