/* The paths of a record, walked into its data: a tail call or two for each. */

/* Of each container: the root directory of its first exec. */
MAP(roots, LRU_HASH, __u64, struct snoop_path, 4096);

/* The root of the image: the target's own, else what the container's first exec had. A process may have changed its. */
static __always_inline void root_of(struct scratch *e, struct snoop_target *target, struct snoop_path *root)
{
	__u64 container = e->record.container;
	struct snoop_path *first;
	void *fs;

	if (target->root_dentry) {
		root->mnt = (void *)target->root_mnt;
		root->dentry = (void *)target->root_dentry;
		return;
	}
	first = LOOKUP(roots, &container);
	if (first) {
		*root = *first;
		return;
	}
	fs = GET(void *, e->task, task_struct_fs);
	LOAD(root->mnt, fs, fs_struct_root_mnt);
	LOAD(root->dentry, fs, fs_struct_root_dentry);
}

/* Whether a mount shows a part of the root's own file system: a bind mount made inside of the container, or the root
 * itself in a mount namespace that a process made. Its files are the image's, by the names that they have there. */
static __always_inline int within_root(void *mnt, void *top)
{
	void *dentry = GET(void *, mount_of(mnt), mount_mnt_mnt_root), *parent;

	if (GET(void *, dentry, dentry_d_sb) != GET(void *, top, dentry_d_sb))
		return 0;
	for (int i = 0; i < SNOOP_BASE_DEPTH; i++) {
		if (dentry == top)
			return 1;
		parent = GET(void *, dentry, dentry_d_parent);
		if (!parent || parent == dentry)
			break;
		dentry = parent;
	}
	return 0;
}

/* Begin the walk of e->slot. 0: there is nothing to walk. */
static __always_inline int walk_begin(struct scratch *e, struct snoop_target *target)
{
	/* Read anew, and bounded anew: the compiler would infer what the verifier does not. */
	struct snoop_path *path = &e->walks[*(volatile __u32 *)&e->slot & 3];
	volatile struct cursor *at = &e->cursor;

	if (!path->dentry)
		return 0;
	e->start = e->used;
	e->flat = 0;
	cursor_start(at, path);
	if (e->slot == SNOOP_TARGET) {
		void *parent = GET(void *, path->dentry, dentry_d_parent);
		struct snoop_path root = {};

		root_of(e, target, &root);
		if (parent != path->dentry && !GET(void *, path->dentry, dentry_d_hash_pprev))
			e->record.flags |= SNOOP_DELETED;
		if (path->mnt != root.mnt) {
			e->flat = within_root(path->mnt, root.dentry);
			if (!e->flat)
				e->record.flags |= SNOOP_VOLUME;
			else
				cursor_flat(at, root.dentry);
		}
	}
	return 1;
}

static __always_inline void walk_end(struct scratch *e, struct snoop_target *target, int done)
{
	volatile struct cursor *at = &e->cursor;
	__u32 slot = e->slot & 3;
	__u32 outside = slot == SNOOP_TARGET ? SNOOP_OUTSIDE : slot == SNOOP_BASE ? SNOOP_BASE_OUTSIDE : 0;

	/* No name is longer, but for some of FUSE's. */
	if (!done || e->longest >= SNOOP_SEGMENT_MAX)
		e->record.flags |= SNOOP_TRUNCATED;
	if (outside && done && !e->flat) {
		void *ns = GET(void *, at->mount, mount_mnt_ns);
		void *dentry = at->dentry;

		/* Detached mounts, another namespace's, and with a root of its own whatever lies beside that. */
		if (ns != mount_namespace_of(e->task) || (target->root_dentry && (__u64)dentry != target->root_dentry))
			e->record.flags |= outside;
	}
	e->record.lengths[slot] = e->used - e->start;
}

/* Whether the walk in hand ends where it begins: at the container's root, where absolute names start from. */
static __always_inline int is_at_top(struct scratch *e, struct snoop_target *target)
{
	volatile struct cursor *at = &e->cursor;
	void *dentry = at->dentry, *mount = at->mount, *parent;

	if (target->root_dentry && (__u64)dentry == target->root_dentry &&
	    (__u64)AT(mount, mount_mnt) == target->root_mnt)
		return 1;
	if (dentry != at->root || !mount)
		return 0;
	parent = GET(void *, mount, mount_mnt_parent);
	if (!parent || parent == mount)
		return 1;
	/* A machine's root is mounted over the one that it was started from. */
	return GET(void *, mount, mount_mnt_mountpoint) == GET(void *, parent, mount_mnt_mnt_root) &&
	       GET(void *, parent, mount_mnt_parent) == parent;
}

/* Take some steps of the walk in hand; the tail to call next. */
static __always_inline int walk_some(struct scratch *e)
{
	volatile struct cursor *at = &e->cursor;
	volatile __u32 *used = &e->used, *longest = &e->longest, *slot = &e->slot;
	struct snoop_target *target = target_of(e);
	__u32 done = 0, full = 0;

	if (!target)
		return TAIL_EMIT;
	if (!e->rounds) {
		for (int i = 0; i < SNOOP_STRINGS; i++) {
			if (*slot >= SNOOP_STRINGS)
				return TAIL_EMIT;
			if (walk_begin(e, target)) {
				/* A tail call less: the kernel allows 33 in a row, and a chain of scripts has many names. */
				if (!is_at_top(e, target))
					break;
				walk_end(e, target, 1);
			}
			*slot += 1;
		}
		if (*slot >= SNOOP_STRINGS)
			return TAIL_EMIT;
	}
	for (int i = 0; i < HOLE(SNOOP_WALK_MAX); i++) {
		void *named = 0, *name;
		__u32 length = 0, where;
		enum step step = cursor_step(at, target, &named);

		if (step == STEP_TOP) {
			done = 1;
			break;
		}
		if (step == STEP_MOUNT)
			continue;
		name = GET(void *, named, dentry_d_name_name);
		LOAD(length, named, dentry_d_name_len);
		*longest |= length;
		length &= SNOOP_SEGMENT_MAX - 1;
		where = *used;
		if (where - e->start > SNOOP_NAME_MAX - SNOOP_SEGMENT_MAX) {
			full = 1;
			break;
		}
		where &= SNOOP_DATA_MASK;
		bpf_probe_read_kernel(e->data + where, length, name);
		where = (where + length) & SNOOP_DATA_MASK;
		e->data[where] = '/';
		*used = where + 1;
	}
	e->rounds++;
	if (!done && !full && e->rounds * HOLE(SNOOP_WALK_MAX) < SNOOP_COMPONENTS_MAX)
		return TAIL_WALK;
	walk_end(e, target, done);
	e->rounds = 0;
	e->slot++;
	return e->slot < SNOOP_STRINGS ? TAIL_WALK : TAIL_EMIT;
}
