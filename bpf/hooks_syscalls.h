/* The syscalls hook set: one handler at the exit of every call in `calls`, and three at sched_process_exec. */

BPF_ARRAY(calls, struct snoop_call, SNOOP_CALLS);

#if defined(__x86_64__)
static __always_inline __u64 argument(void *regs, __u8 index)
{
	switch (index) {
	case 0: return GET(__u64, regs, pt_regs_di);
	case 1: return GET(__u64, regs, pt_regs_si);
	case 2: return GET(__u64, regs, pt_regs_dx);
	case 3: return GET(__u64, regs, pt_regs_r10);
	default: return GET(__u64, regs, pt_regs_r8);
	}
}
#elif defined(__aarch64__)
static __always_inline __u64 argument(void *regs, __u8 index)
{
	__u64 value = 0;

	/* x0 holds the result at exit; the first argument is kept beside it. */
	if (index == 0)
		return GET(__u64, regs, pt_regs_orig_x0);
	LOAD_AT(value, regs + OFF_pt_regs_regs + (index & 7) * 8);
	return value;
}
#endif

#if defined(SNOOP_ATTACH_TRACEPOINT)
/* These tracepoints do not fire for 32-bit calls. */
static __always_inline int is_compat(void)
{
	return 0;
}
#elif defined(__x86_64__)
#define TS_COMPAT_FLAG 0x0002
/* A 32-bit call: its numbers and arguments mean other things. */
static __always_inline int is_compat(void)
{
	void *task = (void *)bpf_get_current_task();

	return (GET(__u32, task, task_struct_thread_info_status) & TS_COMPAT_FLAG) != 0;
}
#else
#define TIF_32BIT_FLAG (1UL << 22)
static __always_inline int is_compat(void)
{
	void *task = (void *)bpf_get_current_task();

	return (GET(unsigned long, task, task_struct_thread_info_flags) & TIF_32BIT_FLAG) != 0;
}
#endif

/* Counted, so that the report can say that something was not seen. */
static __always_inline int count_blind(void)
{
	struct snoop_counters *count;
	__u64 container, key = 0;
	struct snoop_target *target = find_target(&container, &key);

	if (!target || container == target->own)
		return 0;
	count = counters_of(container);
	if (count && counts(target, (void *)bpf_get_current_task()))
		count->blind++;
	return 0;
}

/* 1: a record is ready to be walked and emitted. */
static __always_inline int on_syscall(int which, void *regs, long number, long result)
{
	void *task, *file = 0;
	struct snoop_target *target;
	struct snoop_call *call;
	struct scratch *e;
	__u32 index = number;
	__u64 container, flags = 0;
	int dirfd = AT_FDCWD_VALUE;

	if (is_compat())
		return count_blind();
	call = calls.lookup(&index);
	if (!call || !call->how)
		return 0;
	if (call->how == SNOOP_BY_EXEC && result >= 0)
		return 0;
	if (call->how == SNOOP_BY_BLIND)
		return result >= 0 ? count_blind() : 0;
	e = begin(which, &container, &target);
	if (!e)
		return 0;
	task = (void *)bpf_get_current_task();
	e->record.kinds = call->kinds;
	e->record.error = result < 0 ? result : 0;

	if (call->how == SNOOP_BY_FD) {
		if (result < 0)
			return 0;
		file = file_of(task, argument(regs, call->name));
	} else {
		if (!take_name(e, (void *)argument(regs, call->name), 1))
			return 0;
		hash_name(e);
		if (call->how == SNOOP_BY_OPEN || call->how == SNOOP_BY_OPENAT2) {
			flags = argument(regs, call->extra);
			if (call->how == SNOOP_BY_OPENAT2) {
				__u64 *how = (__u64 *)flags;

				flags = 0;
				bpf_probe_read_user(&flags, sizeof(flags), how);
			}
			if (flags & O_PATH_FLAG)
				e->record.kinds = SNOOP_OPEN;
			else if ((flags & O_ACCMODE_MASK) == O_WRONLY_FLAG)
				e->record.kinds = SNOOP_WRITE;
			else if ((flags & O_ACCMODE_MASK) == O_RDWR_FLAG)
				e->record.kinds = SNOOP_READ | SNOOP_WRITE;
			else
				e->record.kinds = SNOOP_READ;
			if (result >= 0)
				file = file_of(task, result);
		}
		if (call->dirfd != SNOOP_NO_ARG)
			dirfd = argument(regs, call->dirfd);
		take_base(e, target, task, dirfd);
	}
	/* A link may lead to a pipe or a memfd (/dev/stdout): that is no file, but the link's name was used. */
	if (file && is_anonymous(GET(void *, file, file_f_path_dentry)))
		file = 0;
	if (file) {
		void *dentry = GET(void *, file, file_f_path_dentry);
		__u32 mode = 0;

		LOAD(mode, file, file_f_mode);
		if (mode & FMODE_CREATED && call->how != SNOOP_BY_FD)
			e->record.kinds |= SNOOP_CREATE;
		take_object(e, GET(void *, file, file_f_path_mnt), dentry);
	} else if (call->how == SNOOP_BY_FD) {
		return 0;
	}
	if (!is_new(e, target, task))
		return 0;
	take_executable(e, task);
	return 1;
}

/* Programs of one type call one another: tracepoints use the first scratch, raw tracepoints the second. */
BPF_PROG_ARRAY(tails_raw, TAILS);

int snoop_walk_raw(void *ctx)
{
	if (walk_next(1) == TAIL_WALK)
		tails_raw.call(ctx, TAIL_WALK);
	tails_raw.call(ctx, TAIL_EMIT);
	return 0;
}

int snoop_emit_raw(void *ctx)
{
	if (emit_record(1))
		tails_raw.call(ctx, TAIL_ANNOUNCE);
	return 0;
}

int snoop_announce_raw(void *ctx)
{
	announce_container(1);
	return 0;
}

#ifdef SNOOP_ATTACH_TRACEPOINT
BPF_PROG_ARRAY(tails_tp, TAILS);

int snoop_walk_tp(void *ctx)
{
	if (walk_next(0) == TAIL_WALK)
		tails_tp.call(ctx, TAIL_WALK);
	tails_tp.call(ctx, TAIL_EMIT);
	return 0;
}

int snoop_emit_tp(void *ctx)
{
	if (emit_record(0))
		tails_tp.call(ctx, TAIL_ANNOUNCE);
	return 0;
}

int snoop_announce_tp(void *ctx)
{
	announce_container(0);
	return 0;
}

/* The arguments are still where the call left them; the tracepoint gives only number and result. */
static __always_inline void *user_registers(void)
{
#ifdef SNOOP_REGS_ON_STACK
	void *task = (void *)bpf_get_current_task();

	return GET(void *, task, task_struct_stack) + SNOOP_REGS_ON_STACK;
#else
	return (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
#endif
}

struct exit_context {
	__u64 common;
	__s64 number;
	__s64 result;
};

int snoop_sys_exit(struct exit_context *ctx)
{
	if (on_syscall(0, user_registers(), ctx->number, ctx->result))
		tails_tp.call(ctx, TAIL_WALK);
	return 0;
}
#else
int snoop_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	void *regs = (void *)ctx->args[0];

	if (on_syscall(1, regs, GET(long, regs, SNOOP_SYSCALL_NUMBER), ctx->args[1]))
		tails_raw.call(ctx, TAIL_WALK);
	return 0;
}
#endif

/* Where a mapped file lies for who opened it. What overlayfs maps is the layer's own file, on a mount that nobody sees;
 * since 6.7 the path that was opened is kept beside it (struct backing_file in fs/file_table.c), before that it is
 * f_path. The flag that tells such files has moved between versions, so they are known by their mounts. */
static __always_inline void path_of_mapped(void *task, void *file, struct snoop_path *path)
{
	LOAD(path->mnt, file, file_f_path_mnt);
	LOAD(path->dentry, file, file_f_path_dentry);
#ifdef OFF_backing_file_user_path
	void *mine = mount_namespace_of(task);
	struct snoop_path opened = {};

	if (GET(void *, mount_of(path->mnt), mount_mnt_ns) == mine)
		return;
	LOAD_AT(opened.mnt, file + OFF_backing_file_user_path + OFF_path_mnt);
	LOAD_AT(opened.dentry, file + OFF_backing_file_user_path + OFF_path_dentry);
	if (opened.mnt && GET(void *, mount_of(opened.mnt), mount_mnt_ns) == mine)
		*path = opened;
#endif
}

/* Common to the exec hooks: a record about `file`, or about a name alone. */
static __always_inline int on_exec(struct bpf_raw_tracepoint_args *ctx, const char *name, void *file, __u32 flags)
{
	void *task = (void *)ctx->args[0];
	struct snoop_target *target;
	struct scratch *e;
	__u64 container;

	e = begin(1, &container, &target);
	if (!e)
		return 0;
	note_exec(target, task);
	e->record.kinds = SNOOP_EXECUTE;
	e->record.flags = flags;
	if (name && take_name(e, name, 0)) {
		hash_name(e);
		take_base(e, target, task, AT_FDCWD_VALUE);
	}
	if (file) {
		struct snoop_path path = {};

		path_of_mapped(task, file, &path);
		/* A memfd has no path, but it may have been asked for by the name of a link. */
		if (!is_anonymous(path.dentry))
			take_object(e, path.mnt, path.dentry);
		else if (!name)
			return 0;
	}
	if (!is_new(e, target, task))
		return 0;
	take_executable(e, task);
	return 1;
}

/* The program as it was asked for. Of a script only its name is known here: the interpreter opens it by a call. */
int snoop_exec_program(struct bpf_raw_tracepoint_args *ctx)
{
	void *bprm = (void *)ctx->args[2];
	void *name = GET(void *, bprm, linux_binprm_filename);
	int script = name != GET(void *, bprm, linux_binprm_interp);
	__u8 head[5] = {};
	int emit;

	emit = on_exec(ctx, name, script ? 0 : GET(void *, bprm, linux_binprm_file), 0);
	LOAD_AT(head, bprm + OFF_linux_binprm_buf);
	if (head[0] == 0x7f && head[1] == 'E' && head[4] == ELFCLASS32_VALUE)
		count_blind();
	if (emit)
		tails_raw.call(ctx, TAIL_WALK);
	return 0;
}

/* The interpreter that a script names. */
int snoop_exec_script(struct bpf_raw_tracepoint_args *ctx)
{
	void *bprm = (void *)ctx->args[2];
	void *name = GET(void *, bprm, linux_binprm_interp);

	if (name == GET(void *, bprm, linux_binprm_filename))
		return 0;
	if (on_exec(ctx, name, GET(void *, bprm, linux_binprm_file), SNOOP_INTERPRETER))
		tails_raw.call(ctx, TAIL_WALK);
	return 0;
}

/* The ELF interpreter (ld.so): the kernel maps it and no call names it. It lies at AT_BASE. */
static __always_inline void *file_mapped_at(void *mm, __u64 address)
{
	void *vma = 0;
#ifdef OFF_mm_struct_mm_mt_ma_root
	/* A maple tree (include/linux/maple_tree.h): the low byte of an inner entry holds the type of its node. */
	__u64 entry = GET(__u64, mm, mm_struct_mm_mt_ma_root), pivot;

	for (int depth = 0; depth < 4; depth++) {
		__u64 node = entry & ~0xffULL, type = (entry >> 3) & 0xf;
		__u64 pivots = type == 3 ? OFF_maple_arange_64_pivot : OFF_maple_range_64_pivot;
		__u64 slots = type == 3 ? OFF_maple_arange_64_slot : OFF_maple_range_64_slot;
		int last = (type == 3 ? SIZE_maple_arange_64_slot : SIZE_maple_range_64_slot) / 8 - 1;
		int slot;

		for (slot = 0; slot < 15; slot++) {
			if (slot >= last)
				break;
			pivot = 0;
			LOAD_AT(pivot, node + pivots + slot * 8);
			if ((pivot == 0 && slot > 0) || address <= pivot)
				break;
		}
		LOAD_AT(entry, node + slots + slot * 8);
		if (type == 1)
			break;
	}
	vma = (void *)entry;
#else
	vma = GET(void *, mm, mm_struct_mmap);
	for (int i = 0; i < 64; i++) {
		if (!vma || address < GET(__u64, vma, vm_area_struct_vm_end))
			break;
		vma = GET(void *, vma, vm_area_struct_vm_next);
	}
#endif
	if (!vma || GET(__u64, vma, vm_area_struct_vm_start) > address ||
	    GET(__u64, vma, vm_area_struct_vm_end) <= address)
		return 0;
	return GET(void *, vma, vm_area_struct_vm_file);
}

int snoop_exec_loader(struct bpf_raw_tracepoint_args *ctx)
{
	void *task = (void *)ctx->args[0], *mm = GET(void *, task, task_struct_mm), *file;
	__u64 base = 0, pair[2];

	for (int i = 0; i < 24; i++) {
		LOAD_AT(pair, mm + OFF_mm_struct_saved_auxv + i * 16);
		if (pair[0] == 0)
			break;
		if (pair[0] == AT_BASE_TYPE) {
			base = pair[1];
			break;
		}
	}
	if (!base)
		return 0;
	file = file_mapped_at(mm, base);
	if (!file)
		return count_blind();
	if (on_exec(ctx, 0, file, SNOOP_INTERPRETER))
		tails_raw.call(ctx, TAIL_WALK);
	return 0;
}
