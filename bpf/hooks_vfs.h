/* The vfs hook set: fexit programs on the functions through which every name goes, whatever call (of 64- or 32-bit code,
 * or of an io_uring) led there. Tail calls need the prototype of the function that was hooked, so each has its own. */
#ifdef SNOOP_ATTACH_VFS

MAP_PROG_ARRAY_OF(tails_open, TAILS);

int snoop_admit_open(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_open, admit_record());
	return 0;
}

int snoop_walk_open(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_open, walk_next());
	return 0;
}

int snoop_emit_open(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_lookup, TAILS);

int snoop_admit_lookup(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_lookup, admit_record());
	return 0;
}

int snoop_walk_lookup(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_lookup, walk_next());
	return 0;
}

int snoop_emit_lookup(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_create, TAILS);

int snoop_admit_create(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_create, admit_record());
	return 0;
}

int snoop_walk_create(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_create, walk_next());
	return 0;
}

int snoop_emit_create(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_list, TAILS);

int snoop_admit_list(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_list, admit_record());
	return 0;
}

int snoop_walk_list(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_list, walk_next());
	return 0;
}

int snoop_emit_list(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_map, TAILS);

int snoop_admit_map(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_map, admit_record());
	return 0;
}

int snoop_walk_map(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_map, walk_next());
	return 0;
}

int snoop_emit_map(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_remove, TAILS);

int snoop_admit_remove(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_remove, admit_record());
	return 0;
}

int snoop_walk_remove(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_remove, walk_next());
	return 0;
}

int snoop_emit_remove(__u64 *ctx)
{
	emit_record();
	return 0;
}

MAP_PROG_ARRAY_OF(tails_rename, TAILS);

int snoop_admit_rename(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_rename, admit_record());
	return 0;
}

int snoop_walk_rename(__u64 *ctx)
{
	TAIL_CALL(ctx, tails_rename, walk_next());
	return 0;
}

int snoop_emit_rename(__u64 *ctx)
{
	emit_record();
	return 0;
}

/* Take the name of a struct filename. 0 if there is none to speak of. */
static __always_inline int take_filename(struct scratch *e, void *filename)
{
	if (!filename || is_error_pointer(filename) || !take_name(e, text_of(filename), 0))
		return 0;
	hash_name(e);
	return 1;
}

/* The call that led here, or 0: an io_uring's, or the kernel's own. */
static __always_inline struct snoop_call *call_in_hand(void *task, int *compat)
{
	if (GET(__u32, task, task_struct_flags) & (PF_KTHREAD_FLAG | PF_IO_WORKER_FLAG))
		return 0;
	return call_of(task, MEMBER(long, user_registers(), SNOOP_SYSCALL_NUMBER), compat);
}

static __always_inline int on_open(int dfd, void *filename, void *how, void *file)
{
	void *task = CURRENT_TASK();
	struct scratch *e;
	__u32 flags, lookup;
	int compat = 0;

	e = begin(SCRATCH_OPEN, 0);
	if (!e || !take_filename(e, filename))
		return 0;
	flags = GET(__u32, how, open_flags_open_flag);
	e->record.kinds = flags & FMODE_EXEC_FLAG ? SNOOP_EXECUTE : kinds_of_open(flags);
	lookup = GET(__u32, how, open_flags_lookup_flags);
	/* A first try of io_uring's, which may not wait: another one follows. */
	if (lookup & LOOKUP_CACHED_FLAG && (long)file == -EAGAIN_ERROR) {
		struct snoop_call *call = call_in_hand(task, &compat);

		if (!call || call->how != SNOOP_BY_OPENAT2)
			return 0;
	}
	take_base_of(e, task, dfd, 0, (lookup & LOOKUP_IN_ROOT_FLAG) != 0);
	if (is_error_pointer(file)) {
		e->record.error = (long)file;
	} else {
		if (take_file(e, file) & FMODE_CREATED)
			e->record.kinds |= SNOOP_CREATE;
	}
	return is_new(e);
}

int snoop_vfs_open(__u64 *ctx)
{
	if (on_open(ctx[0], (void *)ctx[1], (void *)ctx[2], (void *)ctx[3]))
		TAIL_CALL(ctx, tails_open, TAIL_ADMIT);
	return 0;
}

/* What the call in hand means to do with a name that it looks up. */
static __always_inline __u32 kinds_of_lookup(void *task)
{
	int compat = 0;
	struct snoop_call *call = call_in_hand(task, &compat);

	if (!call || !call->kinds)
		return SNOOP_STAT;
	/* Security modules look a program up once more, by a name that the kernel may have made up. */
	if (call->how == SNOOP_BY_EXEC)
		return 0;
	switch (call->how) {
	case SNOOP_BY_NAME:
	case SNOOP_BY_CHDIR:
	case SNOOP_BY_CHROOT:
	case SNOOP_BY_MOUNT:
		return call->kinds;
	}
	return SNOOP_STAT;
}

static __always_inline int on_lookup(int dfd, void *filename, void *path, void *root, int result)
{
	void *task = CURRENT_TASK();
	struct scratch *e;

	e = begin(SCRATCH_LOOKUP, 0);
	if (!e || !take_filename(e, filename))
		return 0;
	e->record.kinds = kinds_of_lookup(task);
	if (!e->record.kinds)
		return 0;
	e->record.error = result < 0 ? result : 0;
	take_base(e, task, dfd);
	if (root && GET(void *, root, path_mnt)) {
		/* Looked up from a place of the kernel's choice. */
		LOAD(e->walks[SNOOP_BASE].mnt, root, path_mnt);
		LOAD(e->walks[SNOOP_BASE].dentry, root, path_dentry);
		e->unkeyed = 1;
	}
	if (result >= 0) {
		take_object(e, GET(void *, path, path_mnt), GET(void *, path, path_dentry));
	}
	return is_new(e);
}

int snoop_vfs_lookup(__u64 *ctx)
{
	if (on_lookup(ctx[0], (void *)ctx[1], (void *)ctx[3], (void *)ctx[4], ctx[5]))
		TAIL_CALL(ctx, tails_lookup, TAIL_ADMIT);
	return 0;
}

/* mkdir, mknod, symlink, link, bind: the name that is made. */
static __always_inline int on_create(int dfd, void *filename, void *dentry)
{
	void *task = CURRENT_TASK();
	struct scratch *e;

	e = begin(SCRATCH_CREATE, 0);
	if (!e || !take_filename(e, filename))
		return 0;
	e->record.kinds = SNOOP_CREATE;
	e->record.error = is_error_pointer(dentry) ? (long)dentry : 0;
	take_base(e, task, dfd);
	return is_new(e);
}

int snoop_vfs_create(__u64 *ctx)
{
	if (on_create(ctx[0], (void *)ctx[1], (void *)ctx[4]))
		TAIL_CALL(ctx, tails_create, TAIL_ADMIT);
	return 0;
}

/* The name by which a call asked for the object in hand: it may hold links. Not known where no call of ours led here. */
static __always_inline void asked_by_call(struct scratch *e, void *task, int second)
{
	int compat = 0;
	struct snoop_call *call = call_in_hand(task, &compat);
	void *regs = user_registers();
	__u8 name, dirfd_at;

	if (!call || call->how != SNOOP_BY_NAME || !(call->kinds & SNOOP_MODIFY))
		return;
	name = second ? call->second : call->name;
	dirfd_at = second ? call->second_dirfd : call->dirfd;
	if (name == SNOOP_NO_ARG || !take_name(e, (void *)argument_of(compat, regs, name), 1))
		return;
	hash_name(e);
	take_base(e, task, dirfd_at == SNOOP_NO_ARG ? AT_FDCWD_VALUE : (int)argument_of(compat, regs, dirfd_at));
}

enum ask { ASK_NOBODY, ASK_FIRST, ASK_SECOND };

/* An object, and perhaps the name that the call in hand has for it. */
static __always_inline int on_object(int which, __u32 kinds, void *mnt, void *dentry, enum ask ask)
{
	void *task = CURRENT_TASK();
	struct scratch *e;

	/* A layer's own file, on a mount that nobody sees: overlayfs asks again for what it was asked for. */
	if (is_error_pointer(GET(void *, mount_of(mnt), mount_mnt_ns)))
		return 0;
	e = begin(which, 0);
	if (!e)
		return 0;
	e->record.kinds = kinds;
	if (ask != ASK_NOBODY)
		asked_by_call(e, task, ask == ASK_SECOND);
	take_object(e, mnt, dentry);
	return is_new(e);
}

int snoop_vfs_list(__u64 *ctx)
{
	void *file = (void *)ctx[0];

	if ((int)ctx[2] >= 0 && on_object(SCRATCH_LIST, SNOOP_LIST, GET(void *, file, file_f_path_mnt),
					  GET(void *, file, file_f_path_dentry), ASK_NOBODY))
		TAIL_CALL(ctx, tails_list, TAIL_ADMIT);
	return 0;
}

int snoop_vfs_map(__u64 *ctx)
{
	void *file = (void *)ctx[0];

	if (file && !(int)ctx[3] && on_object(SCRATCH_MAP, SNOOP_MAP, GET(void *, file, file_f_path_mnt),
					      GET(void *, file, file_f_path_dentry), ASK_NOBODY))
		TAIL_CALL(ctx, tails_map, TAIL_ADMIT);
	return 0;
}

/* What is to be removed or renamed is known only here, as an object: it is there. */
int snoop_vfs_unlink(__u64 *ctx)
{
	void *directory = (void *)ctx[0];

	if (on_object(SCRATCH_UNLINK, SNOOP_MODIFY, GET(void *, directory, path_mnt), (void *)ctx[1], ASK_FIRST))
		TAIL_CALL(ctx, tails_remove, TAIL_ADMIT);
	return 0;
}

int snoop_vfs_rmdir(__u64 *ctx)
{
	void *directory = (void *)ctx[0];

	if (on_object(SCRATCH_RMDIR, SNOOP_MODIFY, GET(void *, directory, path_mnt), (void *)ctx[1], ASK_FIRST))
		TAIL_CALL(ctx, tails_remove, TAIL_ADMIT);
	return 0;
}

int snoop_vfs_rename(__u64 *ctx)
{
	void *directory = (void *)ctx[0];

	if (on_object(SCRATCH_RENAME, SNOOP_MODIFY, GET(void *, directory, path_mnt), (void *)ctx[1], ASK_FIRST))
		TAIL_CALL(ctx, tails_rename, TAIL_ADMIT);
	return 0;
}

/* The name that it gets. */
int snoop_vfs_renamed(__u64 *ctx)
{
	void *directory = (void *)ctx[2];

	if (on_object(SCRATCH_RENAMED, SNOOP_CREATE, GET(void *, directory, path_mnt), (void *)ctx[3], ASK_SECOND))
		TAIL_CALL(ctx, tails_rename, TAIL_ADMIT);
	return 0;
}

/* Files opened by handle have no name that was asked for. */
int snoop_vfs_handle(__u64 *ctx)
{
	return count_blind();
}
#endif
