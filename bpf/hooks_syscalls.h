/* The syscalls hook set: one handler at the exit of every call in `calls`. */

/* Answers that say that the second name of a call is there. */
static __always_inline int tells_of_second(long result)
{
	return result >= 0 || result == -EEXIST_ERROR || result == -ENOTEMPTY_ERROR || result == -EISDIR_ERROR;
}

/* A name in a socket's address (struct sockaddr_un). 0: it is an address of another kind, or an abstract name. */
static __always_inline void *name_of_socket(void *address)
{
	__u16 family = 0;
	__u8 first = 0;

	bpf_probe_read_user(&family, sizeof(family), address);
	bpf_probe_read_user(&first, sizeof(first), address + sizeof(family));
	return family == AF_UNIX_FAMILY && first ? address + sizeof(family) : 0;
}

/* What a chdir or chroot that succeeded led to. */
static __always_inline void take_place(struct scratch *e, void *task, int how)
{
	void *fs = GET(void *, task, task_struct_fs);
	struct snoop_path now = {};

	if (how == SNOOP_BY_CHROOT) {
		LOAD(now.mnt, fs, fs_struct_root_mnt);
		LOAD(now.dentry, fs, fs_struct_root_dentry);
	} else {
		LOAD(now.mnt, fs, fs_struct_pwd_mnt);
		LOAD(now.dentry, fs, fs_struct_pwd_dentry);
	}
	take_object(e, now.mnt, now.dentry);
}

/* Who enters another tree than its own uses files of that, under names of that. setns writes it into the process's own
 * fs_struct. After unshare that may be a new one, of which nothing that was remembered holds; an empty mount namespace
 * (7.1) begins with no tree at all. */
static __always_inline int on_places(void *task, int how, __u64 flags, long result)
{
	void *fs = GET(void *, task, task_struct_fs), *root = GET(void *, fs, fs_struct_root_dentry);
	__u64 place = (__u64)fs;
	struct places *before = LOOKUP(stood, &place);
	int entered = how == SNOOP_BY_SETNS ? before && root != before->root.dentry
					    : (flags & UNSHARE_EMPTY_MNTNS_FLAG) != 0;

	remember_places(task);
	return result >= 0 && entered ? FOUND_BLIND : FOUND_NOTHING;
}

/* FOUND_NEW: a record is ready to be admitted and told. FOUND_NEXT: not that, but the call has another name. */
static __always_inline int on_syscall(void *regs, long number, long result)
{
	void *task = CURRENT_TASK(), *file = 0, *text;
	struct places *before = 0;
	struct snoop_call *call;
	struct scratch *e;
	__u64 flags = 0;
	__u8 name, dirfd_at;
	int dirfd = AT_FDCWD_VALUE, compat = 0, in_root = 0, unknown = 0, second, more;

	call = call_of(task, number, &compat);
	if (compat) {
		if (!SEES_COMPAT)
			return FOUND_BLIND;
		result = (int)result;
	}
	if (!call || !call->how)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_EXEC && result >= 0)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_BLIND)
		return result >= 0 ? FOUND_BLIND : FOUND_NOTHING;
	e = begin(SCRATCH_CALL, &second);
	if (!e)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_SETNS || call->how == SNOOP_BY_UNSHARE)
		return on_places(task, call->how, argument_of(compat, regs, call->extra), result);
	more = !second && call->second != SNOOP_NO_ARG && tells_of_second(result);
	/* What a mount starts from is a path if it is a bind mount. */
	if (call->how == SNOOP_BY_MOUNT && !(argument_of(compat, regs, call->extra) & MS_BIND_FLAG))
		more = 0;
	e->next = more ? TAIL_CALL : 0;
	e->stage = 1;
	e->record.kinds = second && call->how != SNOOP_BY_MOUNT ? SNOOP_CREATE : call->kinds;
	e->record.error = result < 0 ? result : 0;

	if (call->how == SNOOP_BY_FD || call->how == SNOOP_BY_RESULT || call->how == SNOOP_BY_FCHDIR) {
		if (result < 0)
			return FOUND_NOTHING;
		file = file_of(task, call->how == SNOOP_BY_RESULT ? result : argument_of(compat, regs, call->name));
		if (call->how == SNOOP_BY_FCHDIR)
			remember_places(task);
		if (!file)
			return FOUND_NOTHING;
		take_file(e, file);
	} else {
		name = second ? call->second : call->name;
		dirfd_at = second ? call->second_dirfd : call->dirfd;
		text = (void *)argument_of(compat, regs, name);
		if (call->how == SNOOP_BY_SOCKET)
			text = name_of_socket(text);
		if (!take_name(e, text, 1))
			return next_of(e);
		hash_name(e);
		if (call->how == SNOOP_BY_OPEN || call->how == SNOOP_BY_OPENAT2) {
			if (!e->record.kinds) {
				flags = argument_of(compat, regs, call->extra);
				if (call->how == SNOOP_BY_OPENAT2) {
					__u64 how[3] = {}; /* struct open_how: flags, mode, resolve */

					bpf_probe_read_user(how, sizeof(how), (void *)flags);
					flags = how[0];
					in_root = (how[2] & RESOLVE_IN_ROOT_FLAG) != 0;
				}
				e->record.kinds = kinds_of_open(flags);
			}
			if (result >= 0)
				file = file_of(task, result);
		}
		/* Of an exec, the missing name may be the interpreter's. */
		if ((call->second != SNOOP_NO_ARG || call->how == SNOOP_BY_EXEC) && result < 0)
			e->record.flags |= SNOOP_EITHER;
		if (dirfd_at != SNOOP_NO_ARG)
			dirfd = argument_of(compat, regs, dirfd_at);
		if (result >= 0 && (call->how == SNOOP_BY_CHDIR || call->how == SNOOP_BY_CHROOT)) {
			__u64 place = GET(__u64, task, task_struct_fs);

			before = LOOKUP(stood, &place);
			unknown = !before && (call->how == SNOOP_BY_CHROOT || e->data[0] != '/');
			take_place(e, task, call->how);
		}
		if (unknown)
			e->record.flags |= SNOOP_BASE_OUTSIDE | SNOOP_ASKED_UNREADABLE;
		else
			take_base_of(e, task, dirfd, before, in_root);
		/* They move these directories; so does pivot_root. */
		if (call->kinds == SNOOP_CHDIR)
			remember_places(task);
		if (file && take_file(e, file) & FMODE_CREATED)
			e->record.kinds |= SNOOP_CREATE;
	}
	return is_new(e) ? FOUND_NEW : next_of(e);
}

#ifdef SNOOP_ATTACH_TRACEPOINT
MAP_PROG_ARRAY_OF(tails_tp, TAILS);

int snoop_admit_tp(void *ctx)
{
	int next = admit_record();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_tp, next);
	return fail();
}

int snoop_walk_tp(void *ctx)
{
	int next = walk_next();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_tp, next);
	return fail();
}

int snoop_emit_tp(void *ctx)
{
	int next = emit_record();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_tp, next);
	return fail();
}

int snoop_blind_tp(void *ctx)
{
	return count_blind();
}

/* The tracepoint gives only number and result. */
struct exit_context {
	__u64 common;
	__s64 number;
	__s64 result;
};

int snoop_sys_exit(struct exit_context *ctx)
{
	int found = on_syscall(user_registers(), ctx->number, ctx->result);

	if (found == FOUND_NEW)
		TAIL_CALL(ctx, tails_tp, TAIL_ADMIT);
	else if (found == FOUND_NEXT)
		TAIL_CALL(ctx, tails_tp, TAIL_CALL);
	else if (found == FOUND_BLIND)
		TAIL_CALL(ctx, tails_tp, TAIL_BLIND);
	else
		return 0;
	return fail();
}
#else
#ifdef SNOOP_TYPED
#define REGISTERS(ctx) user_registers()
#else
#define REGISTERS(ctx) ((void *)(ctx)->args[0])
#endif

int snoop_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	void *regs = REGISTERS(ctx);

	return go_raw(ctx, on_syscall(regs, MEMBER(long, regs, SNOOP_SYSCALL_NUMBER), ctx->args[1]), TAIL_CALL);
}
#endif
