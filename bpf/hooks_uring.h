/* io_uring: a ring's requests make no system calls. Its tracepoint tells each request when it is submitted, before it is
 * known how it will end: the names are told as used, unconfirmed. */

/* include/uapi/linux/io_uring.h, enum io_uring_op. */
enum {
	URING_OPENAT = 18, URING_STATX = 21, URING_OPENAT2 = 28, URING_RENAMEAT = 35, URING_UNLINKAT = 36,
	URING_MKDIRAT = 37, URING_SYMLINKAT = 38, URING_LINKAT = 39, URING_SETXATTR = 42, URING_GETXATTR = 44,
};

/* Where the kernel holds a request's name (struct filename), and in `dirfd` what it starts from. 0: it has none. */
static __always_inline void *uring_name(void *command, __u8 operation, int *dirfd, __u32 *kinds)
{
	switch (operation) {
	case URING_OPENAT:
	case URING_OPENAT2:
		*dirfd = GET(int, command, io_open_dfd);
		*kinds = kinds_of_open(GET(__u64, command, io_open_how_flags));
		return GET(void *, command, io_open_filename);
	case URING_STATX:
		*dirfd = GET(int, command, io_statx_dfd);
		*kinds = SNOOP_STAT;
		return GET(void *, command, io_statx_filename);
	case URING_RENAMEAT:
		if (!HAS(io_rename_oldpath))
			return 0;
		*dirfd = GET(int, command, io_rename_old_dfd);
		*kinds = SNOOP_MODIFY;
		return GET(void *, command, io_rename_oldpath);
	case URING_UNLINKAT:
		if (!HAS(io_unlink_filename))
			return 0;
		*dirfd = GET(int, command, io_unlink_dfd);
		*kinds = SNOOP_MODIFY;
		return GET(void *, command, io_unlink_filename);
	case URING_MKDIRAT:
		if (!HAS(io_mkdir_filename))
			return 0;
		*dirfd = GET(int, command, io_mkdir_dfd);
		*kinds = SNOOP_CREATE;
		return GET(void *, command, io_mkdir_filename);
	case URING_LINKAT:
		if (!HAS(io_link_oldpath))
			return 0;
		*dirfd = GET(int, command, io_link_old_dfd);
		*kinds = SNOOP_STAT;
		return GET(void *, command, io_link_oldpath);
	case URING_SETXATTR:
	case URING_GETXATTR:
		if (!HAS(io_xattr_filename))
			return 0;
		*kinds = operation == URING_SETXATTR ? SNOOP_MODIFY : SNOOP_STAT;
		return GET(void *, command, io_xattr_filename);
	}
	return 0;
}

/* The same of the name that the request makes beside that one. */
static __always_inline void *uring_second(void *command, __u8 operation, int *dirfd)
{
	if (HAS(io_rename_oldpath) && operation == URING_RENAMEAT) {
		*dirfd = GET(int, command, io_rename_new_dfd);
		return GET(void *, command, io_rename_newpath);
	}
	if (HAS(io_link_oldpath) && (operation == URING_LINKAT || operation == URING_SYMLINKAT)) {
		*dirfd = GET(int, command, io_link_new_dfd);
		return GET(void *, command, io_link_newpath);
	}
	return 0;
}

static __always_inline int on_request(void *request)
{
	void *task = CURRENT_TASK(), *command = AT(request, io_kiocb_cmd), *name;
	__u8 operation = GET(__u8, request, io_kiocb_opcode);
	int dirfd = AT_FDCWD_VALUE, more, second;
	__u32 kinds = SNOOP_CREATE;
	struct scratch *e;

	e = scratch_of(SCRATCH_URING);
	if (!e)
		return FOUND_NOTHING;
	second = stage_of(e);
	more = !second &&
	       (operation == URING_RENAMEAT || operation == URING_LINKAT || operation == URING_SYMLINKAT);
	name = second ? uring_second(command, operation, &dirfd) : uring_name(command, operation, &dirfd, &kinds);
	if (!more && (!name || is_error_pointer(name)))
		return FOUND_NOTHING;
	e = begin(SCRATCH_URING, 0);
	if (!e)
		return FOUND_NOTHING;
	e->next = more ? TAIL_URING : 0;
	e->stage = 1;
	if (!name || is_error_pointer(name) || !take_name(e, text_of(name), 0))
		return next_of(e);
	hash_name(e);
	e->record.kinds = kinds;
	e->record.flags |= SNOOP_UNCONFIRMED;
	take_base(e, task, dirfd);
	return is_new(e) ? FOUND_NEW : next_of(e);
}

int snoop_uring(struct bpf_raw_tracepoint_args *ctx)
{
	void *request = 0;

	/* Which argument that is differs; the verifier lets nobody load from a context but at a constant offset. */
	LOAD_AT(request, PLUS(ctx, SNOOP_URING_ARGUMENT));
	return go_raw(ctx, on_request(request), TAIL_URING);
}
