/* System calls: what each one's row says, and the registers that hold its arguments. */

MAP_ARRAY_OF(calls, struct snoop_call, SNOOP_CALLS);
/* Of 32-bit code, whose calls have numbers of their own. */
MAP_ARRAY_OF(calls32, struct snoop_call, SNOOP_CALLS32);

#if defined(__x86_64__)
static __always_inline __u64 argument(void *regs, __u8 index)
{
	switch (index) {
	case 0: return MEMBER(__u64, regs, pt_regs_di);
	case 1: return MEMBER(__u64, regs, pt_regs_si);
	case 2: return MEMBER(__u64, regs, pt_regs_dx);
	case 3: return MEMBER(__u64, regs, pt_regs_r10);
	default: return MEMBER(__u64, regs, pt_regs_r8);
	}
}
#elif defined(__aarch64__)
static __always_inline __u64 argument(void *regs, __u8 index)
{
	__u64 value = 0;

	/* x0 holds the result at exit; the first argument is kept beside it. */
	if (index == 0)
		return GET(__u64, regs, pt_regs_orig_x0);
	LOAD_AT(value, AT(regs, pt_regs_regs) + (index & 7) * 8);
	return value;
}
#endif


#if defined(__x86_64__)
#define TS_COMPAT_FLAG 0x0002
#define X32_BIT 0x40000000
/* Whether the current call is one of 32-bit code: its numbers and arguments mean other things. */
static __always_inline int is_compat(void *task)
{
	return (MEMBER(__u32, task, task_struct_thread_info_status) & TS_COMPAT_FLAG) != 0;
}

static __always_inline __u64 argument32(void *regs, __u8 index)
{
	switch (index) {
	case 0: return MEMBER(__u32, regs, pt_regs_bx);
	case 1: return MEMBER(__u32, regs, pt_regs_cx);
	case 2: return MEMBER(__u32, regs, pt_regs_dx);
	case 3: return MEMBER(__u32, regs, pt_regs_si);
	default: return MEMBER(__u32, regs, pt_regs_di);
	}
}
#else
#define TIF_32BIT_FLAG (1UL << 22)
static __always_inline int is_compat(void *task)
{
	return (MEMBER(unsigned long, task, task_struct_thread_info_flags) & TIF_32BIT_FLAG) != 0;
}

static __always_inline __u64 argument32(void *regs, __u8 index)
{
	return (__u32)argument(regs, index);
}
#endif

static __always_inline __u64 argument_of(int compat, void *regs, __u8 index)
{
	return compat ? argument32(regs, index) : argument(regs, index);
}

/* The registers with which the current task entered the kernel. The arguments are still where the call left them. */
static __always_inline void *user_registers(void)
{
	void *task;

	if (!HOLE(SNOOP_REGS_ON_STACK))
		return (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	task = (void *)bpf_get_current_task();
	return PLUS(GET(void *, task, task_struct_stack), SNOOP_REGS_ON_STACK);
}

/* Counted, so that the report can say that something was not seen. */
static __always_inline int count_blind(void)
{
	void *task = CURRENT_TASK();
	struct snoop_leaf leaf = {};
	struct snoop_target *target;
	struct snoop_counters *count;

	if (!find_leaf(task, 1, &leaf))
		return 0;
	target = LOOKUP(targets, &leaf.target);
	count = counters_of(leaf.slot, leaf.container);
	if (count && target && counts(target, leaf.target, task))
		count->blind++;
	return 0;
}

/* The same for what `e` is about. */
static __always_inline void count_blind_of(struct scratch *e)
{
	struct snoop_counters *count = counters_of(e->agent, e->record.container);

	if (count)
		count->blind++;
}

/* Per-call tracepoints do not fire for 32-bit calls. */
#if defined(SNOOP_ATTACH_VFS) || (defined(SNOOP_ATTACH_RAW) && SNOOP_CALLS32_KNOWN)
#define SEES_COMPAT 1
#else
#define SEES_COMPAT 0
#endif

/* The row of a call, or 0. `compat` says whether it is one of 32-bit code. */
static __always_inline struct snoop_call *call_of(void *task, long number, int *compat)
{
	__u32 index = number;

	*compat = is_compat(task);
	if (*compat)
		return LOOKUP(calls32, &index);
#ifdef X32_BIT
	if (index & X32_BIT)
		index &= ~X32_BIT;
#endif
	return LOOKUP(calls, &index);
}

static __always_inline __u32 kinds_of_open(__u64 flags)
{
	if (flags & O_PATH_FLAG)
		return SNOOP_OPEN;
	if ((flags & O_ACCMODE_MASK) == O_WRONLY_FLAG)
		return SNOOP_WRITE;
	if ((flags & O_ACCMODE_MASK) == O_RDWR_FLAG)
		return SNOOP_READ | SNOOP_WRITE;
	return SNOOP_READ;
}

/* Take the object behind an open file; its mode. */
static __always_inline __u32 take_file(struct scratch *e, void *file)
{
	LOAD_SPAN(e->file, file, file);
	take_object(e, IN_SPAN(void *, e->file, file, file, f_path_mnt),
		    IN_SPAN(void *, e->file, file, file, f_path_dentry));
	return IN_SPAN(__u32, e->file, file, file, f_mode);
}
