/* What is there before the hooks are: the tasks of the traced cgroups, and the files that they hold. Run through
 * BPF_PROG_TEST_RUN, since an iterator sees only its reader's PID namespace. A file that was opened and closed before is
 * not to be seen so. */

MAP_ARRAY_OF(sweeps, struct snoop_sweep, 1);

/* A process whose first thread has ended lives on while others do; kernel threads have no files of their own. */
static __always_inline int lives(void *task)
{
	void *signal = GET(void *, task, task_struct_signal);

	if (GET(void *, task, task_struct_mm))
		return 1;
	return signal && !(GET(__u32, task, task_struct_flags) & PF_KTHREAD_FLAG) &&
	       GET(int, signal, signal_struct_live) > 0;
}

int snoop_sweep(void *ctx)
{
	struct snoop_sweep *sweep;
	void *task, *next;
	int zero = 0;

	sweep = LOOKUP(sweeps, &zero);
	if (!sweep)
		return 0;
	if (!sweep->first) {
		task = (void *)bpf_get_current_task();
		task = GET(void *, task, task_struct_group_leader);
		sweep->first = (__u64)task;
	} else {
		task = (void *)sweep->next;
	}
	sweep->count = 0;
	sweep->done = 0;
	for (int i = 0; i < SNOOP_SWEEP_TASKS; i++) {
		struct snoop_leaf leaf = {};

		if (find_leaf(task, 0, &leaf) && leaf.slot == sweep->slot && lives(task)) {
			struct snoop_held_task *held = &sweep->tasks[sweep->count & (SNOOP_SWEEP_TASKS - 1)];
			void *files = GET(void *, task, task_struct_files);
			void *table = files ? GET(void *, files, files_struct_fdt) : 0;

			held->task = (__u64)task;
			held->container = leaf.container;
			held->tgid = GET(__u32, task, task_struct_tgid);
			held->fds = table ? GET(__u32, table, fdtable_max_fds) : 0;
			READ(held->name, AT(task, task_struct_comm));
			sweep->count++;
		}
		next = GET(void *, task, task_struct_tasks);
		next = MINUS(next, OFF_task_struct_tasks);
		task = next;
		if ((__u64)task == sweep->first || next == MINUS(0, OFF_task_struct_tasks)) {
			sweep->done = 1;
			break;
		}
	}
	sweep->next = (__u64)task;
	return 0;
}

/* Tell one thing that `task` holds. */
int snoop_held(struct bpf_raw_tracepoint_args *ctx)
{
	void *task, *mm, *file = 0, *vma;
	struct snoop_leaf leaf = {};
	struct snoop_path path = {};
	struct snoop_sweep *sweep;
	__u64 last;
	struct scratch *e;
	__u32 kinds = SNOOP_HELD;
	int zero = 0;

	sweep = LOOKUP(sweeps, &zero);
	if (!sweep)
		return 0;
	task = (void *)sweep->task;
	e = scratch_of(SCRATCH_SWEEP);
	if (!e || !find_leaf(task, 0, &leaf)) {
		sweep->done = 1;
		return 0;
	}
	blank(e, &leaf, task);
	mm = GET(void *, task, task_struct_mm);
	if (sweep->step == SNOOP_SWEEP_PLACE && sweep->at) {
		void *fs = GET(void *, task, task_struct_fs);

		kinds |= SNOOP_CHDIR;
		if (sweep->at == 1) {
			LOAD(path.mnt, fs, fs_struct_pwd_mnt);
			LOAD(path.dentry, fs, fs_struct_pwd_dentry);
		} else {
			LOAD(path.mnt, fs, fs_struct_root_mnt);
			LOAD(path.dentry, fs, fs_struct_root_dentry);
		}
	} else if (sweep->step == SNOOP_SWEEP_PLACE) {
		kinds |= SNOOP_EXECUTE;
		file = mm ? GET(void *, mm, mm_struct_exe_file) : 0;
	} else if (sweep->step == SNOOP_SWEEP_FILE) {
		__u32 mode;

		file = file_of_other(task, sweep->at);
		mode = file ? GET(__u32, file, file_f_mode) : 0;
		kinds |= mode & FMODE_READ_FLAG ? SNOOP_READ : 0;
		kinds |= mode & FMODE_WRITE_FLAG ? SNOOP_WRITE : 0;
	} else {
		kinds |= SNOOP_MAP;
		vma = mm ? area_at(mm, sweep->at, &last) : 0;
		if (vma) {
			sweep->at = GET(__u64, vma, vm_area_struct_vm_end);
			file = GET(void *, vma, vm_area_struct_vm_file);
		} else if (!mm || last == ~0ULL) {
			sweep->done = 1;
		} else {
			sweep->at = last + 1;
		}
	}
	if (file)
		path_of_mapped(task, file, &path);
	if (!path.dentry)
		return 0;
	e->record.kinds = kinds;
	take_object(e, path.mnt, path.dentry);
	if (!is_new(e))
		return 0;
	TAIL_CALL(ctx, tails_raw, TAIL_ADMIT);
	return 0;
}
