/* Tells the process that runs it (BPF_PROG_TEST_RUN) which cgroups it lives in: a private cgroup namespace hides them
 * from it, and on hybrid hosts a container has no file system to look them up in. And where its runtime lives: above
 * a container's first process stands the runtime's shim or monitor, in the mount namespace that the runtime has. */

MAP_ARRAY_OF(whereabouts, struct snoop_whereabouts, 1);

int snoop_whereabouts(void *ctx)
{
	void *task = (void *)bpf_get_current_task(), *mine = mount_namespace_of(task), *theirs, *cgroup, *kn;
	struct snoop_whereabouts *here;
	int zero = 0;

	here = LOOKUP(whereabouts, &zero);
	if (!here)
		return 0;
	cgroup = cgroup_of(task, here->hierarchy);
	here->root = cgroup ? GET(__u64, cgroup, cgroup_root) : 0;
	kn = cgroup ? GET(void *, cgroup, cgroup_kn) : 0;
	for (int i = 0; i < SNOOP_CGROUP_DEPTH; i++) {
		void *name;

		here->cgroups[i].id = 0;
		if (!kn)
			continue;
		LOAD(here->cgroups[i].id, kn, kernfs_node_id);
		name = GET(void *, kn, kernfs_node_name);
		bpf_probe_read_kernel_str(here->cgroups[i].name, SNOOP_CGROUP_NAME, name);
		kn = GET(void *, kn, kernfs_node_parent);
	}
	here->runtime_ns = 0;
	here->runtime_root = 0;
	for (int i = 0; i < 64; i++) {
		if (GET(int, task, task_struct_tgid) <= 1)
			break;
		task = GET(void *, task, task_struct_real_parent);
		theirs = mount_namespace_of(task);
		if (theirs && theirs != mine) {
			void *fs = GET(void *, task, task_struct_fs);

			here->runtime_ns = (__u64)theirs;
			here->runtime_root = GET(__u64, fs, fs_struct_root_dentry);
			break;
		}
	}
	return 0;
}

/* The end of a traced cgroup. Whoever should have said so may have been killed. */
int snoop_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	void *cgroup = (void *)ctx->args[0];
	struct snoop_config *config;
	int zero = 0;
	__u64 id;

	config = LOOKUP(configs, &zero);
	if (!config || GET(__u64, cgroup, cgroup_root) != config->root)
		return 0;
	id = id_of(cgroup);
	DELETE(targets, &id);
	return 0;
}
