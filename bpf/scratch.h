/* Where a record is put together: the per-CPU scratch, the name that was asked for, what it starts from, what it led to.
 * What is new goes through tail calls: walk_some() (walk.h), once or twice for each path, and emit() (observe.h), which
 * goes on with the hook's next stage if it has one. */

enum tail { TAIL_ADMIT = 1, TAIL_WALK, TAIL_EMIT, TAIL_BLIND, TAIL_CALL, TAIL_EXEC, TAIL_URING, TAILS };

/* What a hook found. FOUND_NEXT: nothing new, but the hook has another stage. FOUND_BLIND: a way to files that this hook
 * set cannot follow. */
enum found { FOUND_NOTHING, FOUND_NEXT, FOUND_NEW, FOUND_BLIND };

/* Each entry program has a scratch of its own on each CPU. A program never runs twice at once on a CPU (the kernel skips
 * it, and counts that), but on kernels that preempt BPF another one may run between its instructions. Tails find the
 * scratch of their entry by the thread that owns it. */
enum scratch_of {
#ifdef SNOOP_ATTACH_VFS
	SCRATCH_OPEN, SCRATCH_LOOKUP, SCRATCH_CREATE, SCRATCH_LIST, SCRATCH_MAP, SCRATCH_UNLINK, SCRATCH_RMDIR,
	SCRATCH_RENAME, SCRATCH_RENAMED,
#else
	SCRATCH_CALL, SCRATCH_URING,
#endif
	SCRATCH_EXEC, SCRATCH_SWEEP, SCRATCHES
};

struct scratch {
	struct snoop_path walks[SNOOP_STRINGS];
	struct snoop_path root; /* of the process */
	struct cursor cursor;
	void *task;     /* whose root directory and mount namespace paths are told for */
	__u64 owner;    /* the thread whose record is on its way through the tails */
	__u64 target;   /* key of the target */
	__u64 seen;     /* fingerprint */
	__u64 hash;     /* of the name, and what it starts from */
	__u64 object;   /* of what it led to */
	__u32 agent;    /* slot of its agent */
	__u32 used;     /* bytes of data */
	__u32 start;    /* of the walk in hand */
	__u32 slot;     /* the walk in hand */
	__u32 rounds;   /* of that walk so far */
	__u32 flat;     /* that walk follows the file system, not the mounts */
	__u32 next;     /* the tail after emit, or 0: the entry program itself, for its next stage */
	__u32 stage;    /* which one that is */
	__u32 generation; /* of the configuration that its thread was known by */
	__u32 unkeyed;  /* the base lies too deep to be hashed: every touch is reported */
	__u32 longest;  /* the lengths of names, or'ed */
	__u32 told;     /* arguments of a `#!` chain so far */
	__u32 names;    /* between the base and where its walk stands */
	__u64 argument; /* the next one's address */
	__u8 file[SPAN_MAX] __attribute__((aligned(8)));
	__u8 dentry[SPAN_MAX] __attribute__((aligned(8)));
	struct snoop_record record; /* this and data are what leaves the kernel */
	char data[SNOOP_DATA_MASK + 1 + SNOOP_SEGMENT_MAX];
};

MAP_PERCPU_ARRAY_OF(scratches, struct scratch, SCRATCHES);

static __always_inline struct scratch *scratch_of(int which)
{
	return LOOKUP(scratches, &which);
}

/* The scratch that this thread's entry program handed on, or 0. */
static __always_inline struct scratch *handed_on(void)
{
	__u64 me = bpf_get_current_pid_tgid();

	for (int i = 0; i < SCRATCHES; i++) {
		int which = i;
		struct scratch *e = LOOKUP(scratches, &which);

		if (e && e->owner == me)
			return e;
	}
	return 0;
}

/* Which stage its entry program is in for this thread: 0 if it begins. */
static __always_inline __u32 stage_of(struct scratch *e)
{
	__u32 stage;

	if (!e->owner)
		return 0;
	stage = e->owner == bpf_get_current_pid_tgid() ? e->stage : 0;
	e->owner = 0;
	return stage;
}

/* Have the entry program called once more. */
static __always_inline void go_on(struct scratch *e, __u32 stage)
{
	e->stage = stage;
	e->owner = bpf_get_current_pid_tgid();
}

/* Nothing to be told of what is in hand. */
static __always_inline int next_of(struct scratch *e)
{
	if (!e->next)
		return FOUND_NOTHING;
	go_on(e, e->stage);
	return FOUND_NEXT;
}

static __always_inline void blank(struct scratch *e, struct snoop_leaf *leaf, void *task)
{
	__builtin_memset(&e->walks, 0, sizeof(e->walks));
	__builtin_memset(&e->record, 0, sizeof(e->record));
	e->task = task;
	e->owner = 0;
	e->target = leaf->target;
	e->agent = leaf->slot;
	e->hash = 0;
	e->object = 0;
	e->used = 0;
	e->start = 0;
	e->slot = SNOOP_BASE;
	e->rounds = 0;
	e->flat = 0;
	e->next = 0;
	e->stage = 0;
	e->longest = 0;
	e->argument = 0;
	e->told = 0;
	e->unkeyed = 0;
	e->record.type = SNOOP_RECORD_OBJECT;
	e->record.container = leaf->container;
}

/* An empty record for the current task, or 0 if it is none of ours. `stage`: which one its entry program is in, if that is
 * not known yet. Of a thread that was none of ours by its second stage, what it began is void. */
static __always_inline struct scratch *begin(int which, int *stage)
{
	void *task = CURRENT_TASK();
	struct snoop_leaf leaf = {};
	struct scratch *e;

	if (!find_leaf(task, 1, &leaf))
		return 0;
	e = scratch_of(which);
	if (!e)
		return 0;
	if (stage)
		*stage = e->generation == leaf.generation ? stage_of(e) : 0;
	e->generation = leaf.generation;
	blank(e, &leaf, task);
	return e;
}

static __always_inline struct snoop_target *target_of(struct scratch *e)
{
	__u64 key = e->target;

	return LOOKUP(targets, &key);
}

/* Read the name that was asked for, from user or kernel memory. 0 if there is none to speak of. */
static __always_inline int take_name(struct scratch *e, const void *name, int from_user)
{
	int length = from_user ? bpf_probe_read_user_str(e->data, SNOOP_NAME_MAX, name)
			       : bpf_probe_read_kernel_str(e->data, SNOOP_NAME_MAX, name);

	if (!name)
		return 0; /* futimens(3): the descriptor alone is meant */
	if (length < 0) {
		e->record.flags |= SNOOP_ASKED_UNREADABLE;
		e->hash = mix(1, (__u64)name);
		return 1;
	}
	if (length <= 1)
		return 0;
	if (length >= SNOOP_NAME_MAX)
		e->record.flags |= SNOOP_TRUNCATED;
	length -= 1; /* the NUL stays behind */
	e->record.lengths[SNOOP_ASKED] = length;
	e->used = length;
	return 1;
}

static __always_inline void hash_name(struct scratch *e)
{
	__u32 length = e->record.lengths[SNOOP_ASKED];
	__u64 hash = length, word;

	for (int i = 0; i < SNOOP_NAME_MAX / 8; i++) {
		__u32 at = i * 8;

		if (at >= length)
			break;
		word = *(__u64 *)(e->data + (at & (SNOOP_NAME_MAX - 1)));
		if (length - at < 8)
			word &= (1ULL << ((length - at) * 8)) - 1;
		hash = mix(hash, word);
	}
	e->hash = mix(e->hash, hash);
}

/* The base of the name: the root directory if absolute, else the working or the given directory. Its walked path goes
 * into the key of a relative name, since a renamed directory gives the same name another meaning. `before`: what these
 * directories were, if not what they are now. `in_root`: the given directory is the root of this name (openat2). */
static __always_inline void take_base_of(struct scratch *e, void *task, int dirfd, struct places *before,
					 int in_root)
{
	/* Written to memory and read again: the verifier lets nobody count with a pointer whose type it knows. */
	volatile struct snoop_path *base = &e->walks[SNOOP_BASE], *root = &e->root;
	void *fs = MEMBER(void *, task, task_struct_fs);
	volatile struct cursor *at = &e->cursor;
	struct snoop_target *target;
	/* Counted in memory: the verifier follows a register's every value apart. */
	volatile __u32 *names = &e->names;

	if (before) {
		root->mnt = before->root.mnt;
		root->dentry = before->root.dentry;
	} else {
		root->mnt = MEMBER(void *, fs, fs_struct_root_mnt);
		root->dentry = MEMBER(void *, fs, fs_struct_root_dentry);
	}
	if (e->data[0] == '/' && !in_root) {
		base->mnt = root->mnt;
		base->dentry = root->dentry;
		e->hash = mix(mix(e->hash, (__u64)base->mnt), (__u64)base->dentry);
		return;
	}
	if (before) {
		base->mnt = before->pwd.mnt;
		base->dentry = before->pwd.dentry;
	} else if (dirfd == AT_FDCWD_VALUE) {
		base->mnt = MEMBER(void *, fs, fs_struct_pwd_mnt);
		base->dentry = MEMBER(void *, fs, fs_struct_pwd_dentry);
	} else {
		void *file = file_of(task, dirfd);

		if (!file) {
			e->record.flags |= SNOOP_BASE_OUTSIDE;
			return;
		}
		base->mnt = GET(void *, file, file_f_path_mnt);
		base->dentry = GET(void *, file, file_f_path_dentry);
	}
	if (in_root) {
		root->mnt = base->mnt;
		root->dentry = base->dentry;
	}
	cursor_start(at, (struct snoop_path *)base);
	e->unkeyed = 1; /* until the top is reached */
	target = target_of(e);
	if (!target)
		return;
	*names = 0;
	for (int i = 0; i < SNOOP_BASE_DEPTH; i++) {
		void *named = 0;
		__u64 name_hash = 0;
		enum step step;

		if (at->dentry == root->dentry && at->mount == mount_of(root->mnt))
			*(volatile __u32 *)&e->record.below = *names + 1;
		step = cursor_step(at, target, &named);
		if (step == STEP_TOP) {
			e->unkeyed = 0;
			break;
		}
		if (step == STEP_NAME) {
			*names += 1;
			LOAD(name_hash, named, dentry_d_name);
			*(volatile __u64 *)&e->hash = mix(*(volatile __u64 *)&e->hash, name_hash);
		}
	}
}

static __always_inline void take_base(struct scratch *e, void *task, int dirfd)
{
	take_base_of(e, task, dirfd, 0, 0);
}

/* What the name led to. Its own name and directory go into the fingerprint: an inode has several, and a freed one, or a
 * freed dentry, comes back as another. */
static __always_inline void take_object(struct scratch *e, void *mnt, void *dentry)
{
	volatile struct snoop_path *path = &e->walks[SNOOP_TARGET];
	__u64 hash;

	LOAD_SPAN(e->dentry, dentry, dentry);
	path->mnt = mnt;
	path->dentry = dentry;
	hash = mix((__u64)path->dentry, (__u64)path->mnt);
	hash = mix(hash, IN_SPAN(__u64, e->dentry, dentry, dentry, d_parent));
	hash = mix(hash, IN_SPAN(__u64, e->dentry, dentry, dentry, d_name));
	hash = mix(hash, IN_SPAN(__u64, e->dentry, dentry, dentry, d_inode));
	e->object = hash;
	e->record.flags |= SNOOP_RESOLVED;
}

/* What is told of the object. 0: pipes, sockets, memfds and anonymous inodes have no place in any tree. */
static __always_inline int describe_object(struct scratch *e)
{
	void *dentry = e->walks[SNOOP_TARGET].dentry, *mnt = e->walks[SNOOP_TARGET].mnt;
	void *inode, *sb = GET(void *, dentry, dentry_d_sb);

	if (GET(unsigned long, sb, super_block_s_flags) & SB_NOUSER) {
		e->walks[SNOOP_TARGET].dentry = 0;
		e->record.flags &= ~SNOOP_RESOLVED;
		e->object = 0;
		return 0;
	}
	LOAD(e->record.dev, sb, super_block_s_dev);
	LOAD(e->record.mount, mount_of(mnt), mount_mnt_id);
	inode = GET(void *, dentry, dentry_d_inode);
	if (inode) {
		__u16 mode = 0;

		LOAD(e->record.ino, inode, inode_i_ino);
		LOAD(mode, inode, inode_i_mode);
		e->record.mode = mode;
	}
	return 1;
}

static __always_inline void take_executable(struct scratch *e, void *task)
{
	void *mm = GET(void *, task, task_struct_mm);
	void *file = mm ? GET(void *, mm, mm_struct_exe_file) : 0;

	if (!file)
		return;
	LOAD(e->walks[SNOOP_EXE].mnt, file, file_f_path_mnt);
	LOAD(e->walks[SNOOP_EXE].dentry, file, file_f_path_dentry);
}
