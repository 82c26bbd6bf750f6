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

/* unshare and setns. Who enters another tree than its own uses files of that, under names of that. */
static __always_inline int on_places(void *task, long result)
{
	void *fs = GET(void *, task, task_struct_fs);
	__u64 place = (__u64)fs;
	struct places *before = stood.lookup(&place);

	if (result >= 0 && before && GET(void *, fs, fs_struct_root_dentry) != before->root.dentry)
		count_blind();
	remember_places(task);
	return FOUND_NOTHING;
}

/* FOUND_NEW: a record is ready to be walked and emitted. FOUND_SECOND: not that, but the call has another name. */
static __always_inline int on_syscall(void *regs, long number, long result, int second)
{
	void *task = (void *)bpf_get_current_task(), *file = 0, *text;
	struct places *before = 0;
	struct snoop_target *target;
	struct snoop_call *call;
	struct scratch *e;
	__u64 container, flags = 0;
	__u8 name, dirfd_at;
	int dirfd = AT_FDCWD_VALUE, compat = 0, in_root = 0, unknown = 0, more;

	call = call_of(task, number, &compat);
	if (compat) {
		if (!SEES_COMPAT || !SNOOP_CALLS32_KNOWN)
			return count_blind();
		result = (int)result;
	}
	if (!call || !call->how)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_EXEC && result >= 0)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_BLIND)
		return result >= 0 ? count_blind() : FOUND_NOTHING;
	e = begin(SCRATCH_CALL, &container, &target);
	if (!e)
		return FOUND_NOTHING;
	if (call->how == SNOOP_BY_PLACES)
		return on_places(task, result);
	more = !second && call->second != SNOOP_NO_ARG && tells_of_second(result);
	/* What a mount starts from is a path if it is a bind mount. */
	if (call->how == SNOOP_BY_MOUNT && !(argument_of(compat, regs, call->extra) & MS_BIND_FLAG))
		more = 0;
	e->next = more ? TAIL_SECOND : 0;
	e->record.kinds = second && call->how != SNOOP_BY_MOUNT ? SNOOP_CREATE : call->kinds;
	e->record.error = result < 0 ? result : 0;

	if (call->how == SNOOP_BY_FD || call->how == SNOOP_BY_RESULT || call->how == SNOOP_BY_FCHDIR) {
		if (result < 0)
			return FOUND_NOTHING;
		file = file_of(task, call->how == SNOOP_BY_RESULT ? result : argument_of(compat, regs, call->name));
		if (call->how == SNOOP_BY_FCHDIR)
			remember_places(task);
		if (!file || !take_file(e, file))
			return FOUND_NOTHING;
	} else {
		name = second ? call->second : call->name;
		dirfd_at = second ? call->second_dirfd : call->dirfd;
		text = (void *)argument_of(compat, regs, name);
		if (call->how == SNOOP_BY_SOCKET)
			text = name_of_socket(text);
		if (!take_name(e, text, 1))
			return more ? FOUND_SECOND : FOUND_NOTHING;
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

			before = stood.lookup(&place);
			unknown = !before && (call->how == SNOOP_BY_CHROOT || e->data[0] != '/');
			take_place(e, task, call->how);
		}
		if (unknown)
			e->record.flags |= SNOOP_BASE_OUTSIDE | SNOOP_ASKED_UNREADABLE;
		else
			take_base_of(e, target, task, dirfd, before, in_root);
		/* They move these directories; so does pivot_root. */
		if (call->kinds == SNOOP_CHDIR)
			remember_places(task);
		/* A link may lead to a pipe (/dev/stdout): that is no file, but the link's name was used. */
		if (file) {
			if (GET(__u32, file, file_f_mode) & FMODE_CREATED)
				e->record.kinds |= SNOOP_CREATE;
			take_file(e, file);
		}
	}
	if (!is_new(e, target, task))
		return more ? FOUND_SECOND : FOUND_NOTHING;
	take_executable(e, task);
	hand_on(e);
	return FOUND_NEW;
}

#ifdef SNOOP_ATTACH_TRACEPOINT
BPF_PROG_ARRAY(tails_tp, TAILS);

static __always_inline int go_tp(void *ctx, int found)
{
	if (found == FOUND_NEW)
		tails_tp.call(ctx, TAIL_WALK);
	else if (found == FOUND_SECOND)
		tails_tp.call(ctx, TAIL_SECOND);
	else
		return 0;
	return count_blind();
}

int snoop_walk_tp(void *ctx)
{
	if (walk_next() == TAIL_WALK)
		tails_tp.call(ctx, TAIL_WALK);
	tails_tp.call(ctx, TAIL_EMIT);
	return count_blind();
}

int snoop_emit_tp(void *ctx)
{
	if (!emit_record())
		return 0;
	tails_tp.call(ctx, TAIL_SECOND);
	return count_blind();
}

/* The tracepoint gives only number and result. */
struct exit_context {
	__u64 common;
	__s64 number;
	__s64 result;
};

int snoop_second_tp(struct exit_context *ctx)
{
	return go_tp(ctx, on_syscall(user_registers(), ctx->number, ctx->result, 1));
}

int snoop_sys_exit(struct exit_context *ctx)
{
	return go_tp(ctx, on_syscall(user_registers(), ctx->number, ctx->result, 0));
}
#else
int snoop_second_raw(struct bpf_raw_tracepoint_args *ctx)
{
	void *regs = (void *)ctx->args[0];

	return go_raw(ctx, on_syscall(regs, GET(long, regs, SNOOP_SYSCALL_NUMBER), ctx->args[1], 1), TAIL_SECOND);
}

int snoop_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	void *regs = (void *)ctx->args[0];

	return go_raw(ctx, on_syscall(regs, GET(long, regs, SNOOP_SYSCALL_NUMBER), ctx->args[1], 0), TAIL_SECOND);
}
#endif
