/* At exec, in every hook set: the program as it was asked for, the `#!` interpreter and the ELF interpreter, which no
 * call names. One entry program and three stages, since each tells a record. */

MAP_PROG_ARRAY_OF(tails_raw, TAILS);

int snoop_admit_raw(void *ctx)
{
	int next = admit_record();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_raw, next);
	return fail();
}

int snoop_walk_raw(void *ctx)
{
	int next = walk_next();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_raw, next);
	return fail();
}

int snoop_emit_raw(void *ctx)
{
	int next = emit_record();

	if (!next)
		return 0;
	TAIL_CALL(ctx, tails_raw, next);
	return fail();
}

int snoop_blind_raw(void *ctx)
{
	return count_blind();
}

/* `next`: the tail that is this entry program's next stage. */
static __always_inline int go_raw(void *ctx, int found, int next)
{
	if (found == FOUND_NEW)
		TAIL_CALL(ctx, tails_raw, TAIL_ADMIT);
	else if (found == FOUND_NEXT)
		TAIL_CALL(ctx, tails_raw, next);
	else if (found == FOUND_BLIND)
		TAIL_CALL(ctx, tails_raw, TAIL_BLIND);
	else
		return 0;
	return fail();
}

#ifndef SNOOP_ATTACH_VFS
/* At the end of a chdir or chroot the directory that its name started from is gone. So each process's directories are
 * remembered by its fs_struct: at exec, at fork, and whenever one of them changes. */
MAP(stood, LRU_HASH, __u64, struct places, 16384);

static __always_inline void remember_places(void *task)
{
	void *fs = GET(void *, task, task_struct_fs);
	struct places here = {};
	__u64 key = (__u64)fs;

	if (!fs)
		return;
	LOAD(here.pwd.mnt, fs, fs_struct_pwd_mnt);
	LOAD(here.pwd.dentry, fs, fs_struct_pwd_dentry);
	LOAD(here.root.mnt, fs, fs_struct_root_mnt);
	LOAD(here.root.dentry, fs, fs_struct_root_dentry);
	UPDATE(stood, &key, &here);
}

int snoop_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct snoop_leaf leaf = {};

	if (find_leaf((void *)bpf_get_current_task(), 1, &leaf))
		remember_places((void *)ctx->args[1]);
	return 0;
}
#else
static __always_inline void remember_places(void *task)
{
}
#endif

/* At a container's first exec its root directory is that of its image. */
static __always_inline void remember_root(__u64 container, struct snoop_target *target, __u64 id, void *task)
{
	void *fs = GET(void *, task, task_struct_fs);
	struct snoop_path root = {};

	if (LOOKUP(roots, &container) || !counts(target, id, task))
		return;
	LOAD(root.mnt, fs, fs_struct_root_mnt);
	LOAD(root.dentry, fs, fs_struct_root_dentry);
	UPDATE(roots, &container, &root);
}

/* Where a mapped file lies for who opened it. What overlayfs maps is the layer's own file, on a mount that nobody sees;
 * since 6.7 the path that was opened is kept beside it (struct backing_file in fs/file_table.c), before that it is
 * f_path. The flag that tells such files has moved between versions, so they are known by their mounts. */
static __always_inline void path_of_mapped(void *task, void *file, struct snoop_path *path)
{
	void *mine = mount_namespace_of(task);
	struct snoop_path opened = {};

	LOAD(path->mnt, file, file_f_path_mnt);
	LOAD(path->dentry, file, file_f_path_dentry);
	if (!HAS(backing_file_user_path) || GET(void *, mount_of(path->mnt), mount_mnt_ns) == mine)
		return;
	file = AT(file, backing_file_user_path);
	LOAD(opened.mnt, file, path_mnt);
	LOAD(opened.dentry, file, path_dentry);
	if (opened.mnt && GET(void *, mount_of(opened.mnt), mount_mnt_ns) == mine)
		*path = opened;
}

/* A maple tree (include/linux/maple_tree.h): the low byte of an inner entry holds the type of its node. */
static __always_inline void *area_in_tree(void *mm, __u64 address, __u64 *last)
{
	__u64 entry = GET(__u64, mm, mm_struct_mm_mt_ma_root), pivot;

	for (int depth = 0; depth < 4; depth++) {
		__u64 node = entry & ~0xffULL, type = (entry >> 3) & 0xf;
		__u64 pivots = type == 3 ? HOLE(OFF_maple_arange_64_pivot) : HOLE(OFF_maple_range_64_pivot);
		__u64 slots = type == 3 ? HOLE(OFF_maple_arange_64_slot) : HOLE(OFF_maple_range_64_slot);
		int last_slot = (type == 3 ? SIZE(maple_arange_64_slot) : SIZE(maple_range_64_slot)) / 8 - 1;
		int slot;

		for (slot = 0; slot < 15; slot++) {
			if (slot >= last_slot)
				break;
			pivot = 0;
			LOAD_AT(pivot, node + pivots + slot * 8);
			if ((pivot == 0 && slot > 0) || address <= pivot)
				break;
		}
		if (slot < last_slot && pivot && pivot < *last)
			*last = pivot;
		LOAD_AT(entry, node + slots + slot * 8);
		if (type == 1)
			break;
	}
	return (void *)entry;
}

/* The memory area at an address or, failing that, none: then `last` is the last address of the hole. */
static __always_inline void *area_at(void *mm, __u64 address, __u64 *last)
{
	void *vma;

	*last = ~0ULL;
	if (HAS(mm_struct_mm_mt_ma_root))
		return area_in_tree(mm, address, last);
	vma = GET(void *, mm, mm_struct_mmap);
	for (int i = 0; i < 512; i++) {
		if (!vma || address < GET(__u64, vma, vm_area_struct_vm_end))
			break;
		vma = GET(void *, vma, vm_area_struct_vm_next);
	}
	return vma;
}

static __always_inline void *file_mapped_at(void *mm, __u64 address)
{
	__u64 last;
	void *vma = area_at(mm, address, &last);

	if (!vma || GET(__u64, vma, vm_area_struct_vm_start) > address ||
	    GET(__u64, vma, vm_area_struct_vm_end) <= address)
		return 0;
	return GET(void *, vma, vm_area_struct_vm_file);
}

/* The kernel names a program that execveat(2) found by a descriptor itself: /dev/fd/N, or /dev/fd/N/name. Returns N, or
 * -1; `rest` is what was asked for below it, or 0. */
static __always_inline int descriptor_of(const char *made_up, const char **rest)
{
	char head[24] = {};
	int fd = 0;

	bpf_probe_read_kernel(head, sizeof(head) - 1, made_up);
	*rest = 0;
	for (int i = 8; i < 19; i++) {
		char digit = head[i];

		if (digit < '0' || digit > '9') {
			*rest = digit == '/' ? made_up + i + 1 : 0;
			break;
		}
		fd = fd * 10 + digit - '0';
	}
	return fd;
}

static __always_inline int is_elf32(void *bprm)
{
	__u8 head[5] = {};

	READ(head, AT(bprm, linux_binprm_buf));
	return head[0] == 0x7f && head[1] == 'E' && head[4] == ELFCLASS32_VALUE;
}

/* The kernel maps the ELF interpreter (ld.so) at AT_BASE of the new program's auxiliary vector. */
static __always_inline void *loader_of(void *mm, void *bprm, int *lost)
{
	int narrow = is_elf32(bprm);
	void *file;
	__u64 base = 0, pair[2];
	__u32 pair32[2];

	for (int i = 0; i < 24; i++) {
		if (narrow) {
			READ(pair32, AT(mm, mm_struct_saved_auxv) + i * sizeof(pair32));
			pair[0] = pair32[0];
			pair[1] = pair32[1];
		} else {
			READ(pair, AT(mm, mm_struct_saved_auxv) + i * sizeof(pair));
		}
		if (pair[0] == 0)
			break;
		if (pair[0] == AT_BASE_TYPE) {
			base = pair[1];
			break;
		}
	}
	*lost = 0;
	if (!base)
		return 0;
	file = file_mapped_at(mm, base);
	*lost = !file;
	return file;
}

enum stage {
	STAGE_PROGRAM, /* as it was asked for. Of a script only its name is known here: the interpreter opens it by a call */
	STAGE_SCRIPT,  /* the interpreter that a script names */
	STAGE_CHAIN,   /* those between that script and the last interpreter */
	STAGE_LOADER,  /* the ELF interpreter */
	STAGES
};

/* A script may name a script as its interpreter, and so on. What lies between the first and the last is to be found in
 * the arguments that the kernel put before the first one's name: each interpreter, and what its `#!` line gives it. */
#define CHAIN_MAX 10

/* Take the next of these names. 0: there is none. */
static __always_inline int take_link(struct scratch *e, void *mm, void *filename, __u64 argument)
{
	__u64 asked;
	long length;

	if (!argument) {
		argument = GET(__u64, mm, mm_struct_arg_start);
		length = bpf_probe_read_user_str(e->data, SNOOP_NAME_MAX, (void *)argument);
		if (length <= 0)
			return 0;
		argument += length;
	}
	e->hash = 0;
	if (!take_name(e, filename, 0))
		return 0;
	hash_name(e);
	asked = e->hash;
	e->hash = 0;
	if (!take_name(e, (void *)argument, 1))
		return 0;
	hash_name(e);
	e->argument = argument + e->record.lengths[SNOOP_ASKED] + 1;
	return e->hash != asked;
}

int snoop_exec(struct bpf_raw_tracepoint_args *ctx)
{
	void *task = CURRENT_TASK(), *bprm = (void *)ctx->args[2], *mm = GET(void *, task, task_struct_mm), *file = 0;
	void *filename = GET(void *, bprm, linux_binprm_filename), *interp = GET(void *, bprm, linux_binprm_interp);
	struct scratch *e = scratch_of(SCRATCH_EXEC);
	int dirfd = AT_FDCWD_VALUE, named = 0, blind = 0, script = filename != interp;
	struct snoop_target *target;
	const char *name = 0;
	__u64 argument;
	__u32 stage, told;

	if (!e)
		return 0;
	stage = stage_of(e);
	argument = e->argument;
	told = e->told;
	e = begin(SCRATCH_EXEC, 0);
	if (!e)
		return 0;
	e->record.kinds = SNOOP_EXECUTE;
	e->next = TAIL_EXEC;
	e->stage = stage + 1;
	switch (stage) {
	case STAGE_PROGRAM:
		target = target_of(e);
		if (target) {
			note_exec(target, e->target, task);
			remember_root(e->record.container, target, e->target, task);
			remember_places(task);
		}
		name = filename;
		file = script ? 0 : GET(void *, bprm, linux_binprm_file);
		/* The descriptor is closed by now if it was to be; that of a script is not, for its interpreter opens it. */
		if (GET(void *, bprm, linux_binprm_fdpath)) {
			dirfd = descriptor_of(filename, &name);
			if (script && !name)
				file = file_of(task, dirfd);
		}
		break;
	case STAGE_SCRIPT:
		e->record.flags = SNOOP_INTERPRETER;
		blind = !SEES_COMPAT && is_elf32(bprm);
		if (script) {
			name = interp;
			file = GET(void *, bprm, linux_binprm_file);
		}
		break;
	case STAGE_CHAIN:
#ifndef SNOOP_ATTACH_VFS
		e->record.flags = SNOOP_INTERPRETER;
		if (!script)
			break;
		blind = told >= CHAIN_MAX;
		/* Two at once: what is no path is what a line gives its interpreter, one word at most. */
		for (int i = 0; i < 2; i++) {
			if (blind || named)
				break;
			e->stage = STAGE_LOADER;
			if (!take_link(e, mm, filename, argument))
				break;
			argument = e->argument;
			e->told = ++told;
			e->stage = STAGE_CHAIN;
			named = e->data[0] == '/' || e->data[0] == '.';
		}
#endif
		break;
	default:
		e->next = 0;
		file = loader_of(mm, bprm, &blind);
		e->record.flags = SNOOP_INTERPRETER;
	}
	if (blind)
		count_blind_of(e);
	if (name && take_name(e, name, 0)) {
		hash_name(e);
		named = 1;
	}
	if (named)
		take_base(e, task, dirfd);
	if (file) {
		struct snoop_path path = {};

		/* A memfd has no path, but it may have been asked for by the name of a link. */
		path_of_mapped(task, file, &path);
		take_object(e, path.mnt, path.dentry);
	}
	return go_raw(ctx, (named || file) && is_new(e) ? FOUND_NEW : next_of(e), TAIL_EXEC);
}
